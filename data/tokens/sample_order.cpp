#include "data/tokens/sample_order.h"

#include <bit>

#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

/// A bijection of 64 bits that spreads every input bit: multiply and xor-shift, with the constants that
/// Steele, Lea and Flood give for SplitMix64 (2014).
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

SampleOrder::SampleOrder(std::uint64_t seed, std::uint64_t num_windows)
    : seed_(seed), num_windows_(num_windows) {
  SWITCHYARD_CHECK(num_windows >= 1 && num_windows <= (1ULL << 62), "num_windows {}", num_windows);
  const int bits = std::bit_width(num_windows - 1);
  half_bits_ = bits <= 2 ? 1 : (bits + 1) / 2;
}

std::uint64_t SampleOrder::permute(const std::array<std::uint64_t, 8>& round_keys,
                                   std::uint64_t value) const {
  const std::uint64_t mask = (1ULL << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (const std::uint64_t key : round_keys) {
    // The upper bits of the product of mixing are the best ones.
    const std::uint64_t scrambled = mix(right ^ key) >> (64 - half_bits_);
    const std::uint64_t next = left ^ scrambled;
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

std::uint64_t SampleOrder::window(std::uint64_t sample) const {
  const std::uint64_t epoch_key = mix(mix(seed_) ^ epoch(sample));
  std::array<std::uint64_t, 8> round_keys{};
  for (std::uint64_t round = 0; round < round_keys.size(); ++round)
    round_keys[round] = mix(epoch_key + round * 2 + 1);
  std::uint64_t value = sample % num_windows_;
  do {
    value = permute(round_keys, value);
  } while (value >= num_windows_);
  return value;
}

std::uint64_t sample_index(std::uint64_t step, std::int64_t unit, std::int64_t sample_in_unit,
                           std::int64_t units_per_step, std::int64_t micro_batch) {
  SWITCHYARD_CHECK(unit >= 0 && unit < units_per_step, "unit {} of {}", unit, units_per_step);
  SWITCHYARD_CHECK(sample_in_unit >= 0 && sample_in_unit < micro_batch, "sample {} of {}", sample_in_unit,
                   micro_batch);
  std::uint64_t index = 0;
  const bool overflows = __builtin_mul_overflow(step, static_cast<std::uint64_t>(units_per_step), &index) ||
                         __builtin_add_overflow(index, static_cast<std::uint64_t>(unit), &index) ||
                         __builtin_mul_overflow(index, static_cast<std::uint64_t>(micro_batch), &index) ||
                         __builtin_add_overflow(index, static_cast<std::uint64_t>(sample_in_unit), &index);
  SWITCHYARD_CHECK(!overflows, "the sample index of step {}", step);
  return index;
}

}  // namespace switchyard::data
