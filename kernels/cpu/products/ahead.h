// Fetching from memory, during a tile, what comes after it. Sums of gradients are 8 bytes wide and lie in
// short pieces of many rows, which processors do not foresee; all of them at once would wait for one another.
#pragma once

#include <cstdint>

namespace switchyard::kernels {
namespace {

/// `lines` of 64 bytes of each of `rows`, `row_bytes` apart. No rows: nothing.
struct Ahead {
  const void* first = nullptr;
  std::int64_t row_bytes = 0;
  std::int64_t lines = 0;
  std::int64_t rows = 0;
};

// Into which cache: what is written in a moment, or what is read much later.
constexpr int kFirstLevel = 3;
constexpr int kSecondLevel = 2;

/// Fetches one line after the other, and none behind the last: what is not used soon drives a panel out of
/// the first-level cache.
class AheadLines {
 public:
  explicit AheadLines(const Ahead& ahead)
      : at_(static_cast<const char*>(ahead.first)),
        lines_(ahead.lines),
        left_(ahead.lines * ahead.rows),
        to_next_row_(ahead.row_bytes - 64 * ahead.lines) {}

  template <int kLevel = kFirstLevel>
  void fetch_one() {
    if (left_ == 0) return;
    --left_;
    __builtin_prefetch(at_, kLevel == kFirstLevel ? 1 : 0, kLevel);
    at_ += 64;
    if (++line_ == lines_) {
      line_ = 0;
      at_ += to_next_row_;
    }
  }

 private:
  const char* at_;
  std::int64_t lines_;
  std::int64_t left_;
  std::int64_t to_next_row_;
  std::int64_t line_ = 0;
};

}  // namespace
}  // namespace switchyard::kernels
