// What all ranks must know alike before anyone acts.
#pragma once

#include "kernels/ops/adamw.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// sum = the exact sum over the ranks, on every rank. For the squares of gradients: give each rank's own
/// shards, so that every element is counted once.
void all_reduce_wide(Communicator& group, kernels::WideSum& sum);

}  // namespace switchyard::parallel
