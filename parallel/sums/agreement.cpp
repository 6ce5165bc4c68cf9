#include "parallel/sums/agreement.h"

#include <array>

namespace switchyard::parallel {

void all_reduce_wide(Communicator& group, kernels::WideSum& sum) {
  // Limbs of 32 bits: their sums stay far from 64 bits, and carrying on afterwards is exact. Two's complement
  // needs no sign but in the top limb, where what is carried out of 128 bits is dropped on all ranks alike.
  constexpr std::uint64_t kLimb = 0xffffffffU;
  const auto high = static_cast<std::uint64_t>(sum.high);
  std::array<std::int64_t, 4> limbs{
      static_cast<std::int64_t>(sum.low & kLimb), static_cast<std::int64_t>(sum.low >> 32),
      static_cast<std::int64_t>(high & kLimb), static_cast<std::int64_t>(high >> 32)};
  group.all_reduce_sum(limbs);
  std::uint64_t carry = 0;
  std::array<std::uint64_t, 4> words{};
  for (std::size_t i = 0; i < limbs.size(); ++i) {
    const std::uint64_t total = static_cast<std::uint64_t>(limbs[i]) + carry;
    words[i] = total & kLimb;
    carry = total >> 32;
  }
  sum.low = words[0] | words[1] << 32;
  sum.high = static_cast<std::int64_t>(words[2] | words[3] << 32);
}

}  // namespace switchyard::parallel
