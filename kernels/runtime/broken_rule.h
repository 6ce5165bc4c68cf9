// One rule of determinism, broken on purpose: how `verify` is shown to see what it looks for. Tests set it on a
// Context; nothing a user can write reaches it.
#pragma once

#include <cstdint>

namespace switchyard::kernels {

enum class BrokenRule : std::uint8_t {
  none,
  split_reduction,  ///< a product cuts its sum in two when the call holds many rows
  tie_by_rank,      ///< experts with equal scores are chosen from the other end on odd ranks
  merged_segments,  ///< rows of two micro-batches share a gradient block
};

struct Breakage {
  BrokenRule rule = BrokenRule::none;
  int rank = 0;
};

}  // namespace switchyard::kernels
