// The exact gradient sums of a group of parameters, from the rank that forms them to the rank that owns them.
#pragma once

#include <memory>
#include <vector>

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/context.h"
#include "parallel/communicators/communicator.h"
#include "parallel/sums/shard_layout.h"

namespace switchyard::parallel {

/// Owns the int64 sums of all parameters of a group in one flat space, on the CPU or on a device, padded as
/// its ShardLayout says. A step is: zero, let the backward passes add, start the tensors' exchange (whole or
/// piece by piece), finish, read the own shard. The communicator is the data axis for parameters that all
/// ranks share, the replicas of the expert coordinate for experts; it must outlive this, and reach device
/// memory where the sums lie on a device and there are several ranks.
class ExactSums {
 public:
  /// `additions`: the most blocks of rows that all ranks together add to one element in a step; sets the
  /// limit beyond which one block's value counts as overflow (kernels/ops/gradient_sum.h).
  /// `device`: the context whose device holds the sums, which must outlive this; nullptr = the CPU.
  ExactSums(Communicator& group, std::span<const ShardTensor> tensors, std::int64_t additions,
            kernels::Context* device = nullptr);

  const ShardLayout& layout() const { return layout_; }
  std::int64_t bytes() const { return layout_.flat_size() * 8; }

  /// Where the backward pass adds the gradient of tensor `tensor`, under `shape` (same number of elements).
  kernels::GradientSum sum(std::int64_t tensor, Shape shape);

  /// Clears the sums and the overflow count.
  void zero();

  /// Sends the sums of tensors [first, last) to their owners; these sums must be complete on this rank. Ranks
  /// start the same ranges in the same order; every tensor must be started once before finish().
  void start(std::int64_t first, std::int64_t last);
  /// Lets started exchanges move on, without blocking.
  void poll();
  /// Starts what is left and waits for all. Afterwards only the own shard is meaningful.
  void finish();

  /// This rank's shard: flat elements [shard_begin(rank), shard_end(rank)). Valid after finish().
  /// Only on the CPU.
  std::span<const std::int64_t> own() const;
  /// The sums of one piece of layout().pieces(rank), i64 (elements). Valid after finish().
  ConstTensorView own(const ShardPiece& piece) const;

  /// Values of this rank that were not finite or beyond the limit since zero(). Sum it over all ranks before
  /// anyone acts: all_reduce_or over the data axis.
  std::int64_t overflow() const;

 private:
  TensorView flat() const { return sums_.view(); }
  std::span<std::int64_t> memory() const;  // flat(), which may be a device's

  Communicator& group_;
  ShardLayout layout_;
  kernels::Context* device_;
  kernels::Tensor sums_;  // (flat size)
  kernels::Tensor overflow_;
  std::int64_t limit_;
  std::vector<bool> started_;
  std::vector<std::unique_ptr<Pending>> pending_;
};

}  // namespace switchyard::parallel
