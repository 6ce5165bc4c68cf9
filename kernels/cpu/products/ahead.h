// Fetching from memory, during a tile, what comes after it. Sums of gradients are 8 bytes wide and lie in
// short pieces of many rows, which processors do not foresee; all of them at once would wait for one another.
#pragma once

#include <cstdint>

namespace switchyard::kernels {
namespace {

/// `lines` of 64 bytes of each row, rows `row_bytes` apart. No lines: nothing.
struct Ahead {
  const void* first = nullptr;
  std::int64_t row_bytes = 0;
  std::int64_t lines = 0;
};

/// Fetches one line after the other. Behind the last row it goes on with rows that may not be there, which
/// costs a little and harms nothing.
class AheadLines {
 public:
  explicit AheadLines(const Ahead& ahead)
      : at_(static_cast<const char*>(ahead.first)),
        lines_(ahead.lines),
        to_next_row_(ahead.row_bytes - 64 * ahead.lines) {}

  void fetch_one() {
    if (lines_ == 0) return;
    __builtin_prefetch(at_, 1);
    at_ += 64;
    if (++line_ == lines_) {
      line_ = 0;
      at_ += to_next_row_;
    }
  }

 private:
  const char* at_;
  std::int64_t lines_;
  std::int64_t to_next_row_;
  std::int64_t line_ = 0;
};

}  // namespace
}  // namespace switchyard::kernels
