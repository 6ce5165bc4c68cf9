#include "data/prepare/held_out.h"

#include <algorithm>
#include <array>

#include "data/storage/digest.h"

namespace switchyard::data {

HeldOutRule::HeldOutRule(double fraction, std::uint64_t seed, std::uint64_t total_bytes)
    : fraction_(fraction), seed_(seed), total_bytes_(total_bytes) {}

double HeldOutRule::hash(std::uint64_t index) const {
  const std::array<std::uint64_t, 2> key = {seed_, index};
  return static_cast<double>(digest_of(key.data(), sizeof(key)).low >> 11) * 0x1p-53;
}

Placement HeldOutRule::by_hash(std::uint64_t index, std::uint64_t bytes) const {
  if (fraction_ <= 0) return Placement::train;
  if (static_cast<double>(bytes) > fraction_ * static_cast<double>(total_bytes_)) return Placement::divided;
  return hash(index) < fraction_ ? Placement::validation : Placement::train;
}

void HeldOutRule::observe(std::uint64_t index, std::uint64_t bytes) {
  const Placement placement = by_hash(index, bytes);
  has_train_ = has_train_ || placement != Placement::validation;
  has_validation_ = has_validation_ || placement != Placement::train;
  const double value = hash(index);
  if (value < lowest_hash_) {
    lowest_hash_ = value;
    lowest_ = index;
  }
  if (value > highest_hash_) {
    highest_hash_ = value;
    highest_ = index;
  }
}

Placement HeldOutRule::place(std::uint64_t index, std::uint64_t bytes) const {
  const Placement placement = by_hash(index, bytes);
  if (fraction_ <= 0 || placement == Placement::divided) return placement;
  if (!has_validation_ && index == lowest_) return Placement::validation;
  if (!has_train_ && index == highest_) return Placement::train;
  return placement;
}

std::uint64_t dividing_point(std::uint64_t bytes, double fraction,
                             const std::function<std::string(std::uint64_t, std::uint64_t)>& read) {
  constexpr std::uint64_t kReach = 4096;
  const auto share = static_cast<std::uint64_t>(static_cast<double>(bytes) * fraction);
  const std::uint64_t target = bytes - std::clamp<std::uint64_t>(share, 1, bytes);
  const std::string ahead = read(target, std::min(kReach, bytes - target));
  const std::size_t line_end = ahead.find('\n');
  if (line_end != std::string::npos && target + line_end + 1 < bytes) return target + line_end + 1;
  const auto starts_character = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; };
  const auto found = std::find_if(ahead.begin(), ahead.end(), starts_character);
  if (found != ahead.end()) return target + static_cast<std::uint64_t>(found - ahead.begin());
  // Nothing but the rest of one character follows: cut before that character.
  const std::uint64_t begin = target - std::min<std::uint64_t>(3, target);
  const std::string behind = read(begin, target - begin);
  const auto last = std::find_if(behind.rbegin(), behind.rend(), starts_character);
  return last == behind.rend() ? 0 : target - static_cast<std::uint64_t>(last - behind.rbegin()) - 1;
}

}  // namespace switchyard::data
