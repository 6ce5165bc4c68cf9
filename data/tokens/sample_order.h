// Which window a training sample is: a pure function of (seed, sample index), with no memory of earlier
// samples.
//
// Samples are counted over the whole run; epoch e is samples [e*W, (e + 1)*W) of W windows, and goes through
// every window once. Its order is a keyed permutation of [0, W): a balanced Feistel network of eight rounds
// over the smallest even number of bits that holds W, walked along its cycle until it lands below W (Black
// and Rogaway, "Ciphers with arbitrary finite domains", 2002). Fewer than 4W values are
// permuted (W = 1 apart), so the walk takes fewer than four steps on average.
//
// With mix() as in sample_order.cpp, h half of those bits and k = mix(mix(seed) ^ e), round r = 0..7 takes
// (left, right) to (right, left ^ t), t the top h bits of mix(right ^ mix(k + 2r + 1)).
#pragma once

#include <array>
#include <cstdint>

namespace switchyard::data {

class SampleOrder {
 public:
  /// `num_windows` in [1, 2^62].
  SampleOrder(std::uint64_t seed, std::uint64_t num_windows);

  std::uint64_t num_windows() const { return num_windows_; }
  std::uint64_t epoch(std::uint64_t sample) const { return sample / num_windows_; }
  /// The window of a sample, in [0, num_windows).
  std::uint64_t window(std::uint64_t sample) const;

 private:
  std::uint64_t permute(const std::array<std::uint64_t, 8>& round_keys, std::uint64_t value) const;

  std::uint64_t seed_;
  std::uint64_t num_windows_;
  int half_bits_ = 1;
};

/// Sample b of unit u in step s, where a step has U = units_per_step units of B = micro_batch samples:
/// (s*U + u)*B + b. Throws InternalError where u, b or the product is out of range.
std::uint64_t sample_index(std::uint64_t step, std::int64_t unit, std::int64_t sample_in_unit,
                           std::int64_t units_per_step, std::int64_t micro_batch);

}  // namespace switchyard::data
