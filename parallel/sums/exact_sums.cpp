#include "parallel/sums/exact_sums.h"

#include <algorithm>
#include <cstring>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

ExactSums::ExactSums(Communicator& group, std::span<const ShardTensor> tensors, std::int64_t additions)
    : group_(group),
      layout_(tensors, group.size()),
      sums_(static_cast<std::size_t>(layout_.flat_size()) * 8),
      overflow_(DType::i64, {1}),
      limit_(kernels::gradient_limit(additions)),
      started_(tensors.size(), false) {}

std::span<std::int64_t> ExactSums::flat() const {
  return {static_cast<std::int64_t*>(sums_.data()), static_cast<std::size_t>(layout_.flat_size())};
}

kernels::GradientSum ExactSums::sum(std::int64_t tensor, Shape shape) {
  SWITCHYARD_CHECK(tensor >= 0 && tensor < layout_.tensors() && shape.elements() == layout_.elements(tensor),
                   "tensor {} of {} has another number of elements than shape {}", tensor, layout_.tensors(),
                   shape.text());
  return {TensorView(flat().data() + layout_.flat_begin(tensor), DType::i64, shape), overflow_.view(),
          limit_};
}

void ExactSums::zero() {
  SWITCHYARD_CHECK(pending_.empty(), "finish() comes before zero(); {} exchanges are under way",
                   pending_.size());
  if (layout_.flat_size() > 0) std::memset(sums_.data(), 0, sums_.bytes());
  *overflow_.data<std::int64_t>() = 0;
  std::fill(started_.begin(), started_.end(), false);
}

void ExactSums::start(std::int64_t first, std::int64_t last) {
  SWITCHYARD_CHECK(first >= 0 && first <= last && last <= layout_.tensors(), "tensors [{}, {}) of {}", first,
                   last, layout_.tensors());
  for (std::int64_t tensor = first; tensor < last; ++tensor) {
    SWITCHYARD_CHECK(!started_[static_cast<std::size_t>(tensor)], "tensor {} was started before", tensor);
    started_[static_cast<std::size_t>(tensor)] = true;
  }
  if (group_.size() == 1 || first == last) return;
  const std::vector<std::int64_t> counts = layout_.counts(first, last);
  const std::int64_t begin = layout_.flat_begin(first);
  const auto in = flat().subspan(static_cast<std::size_t>(begin),
                                 static_cast<std::size_t>(layout_.flat_begin(last) - begin));
  std::int64_t own_begin = 0;
  for (int rank = 0; rank < group_.rank(); ++rank) own_begin += counts[static_cast<std::size_t>(rank)];
  const auto own = in.subspan(static_cast<std::size_t>(own_begin),
                              static_cast<std::size_t>(counts[static_cast<std::size_t>(group_.rank())]));
  pending_.push_back(group_.start_reduce_scatter(in, own, counts));
}

void ExactSums::poll() {
  for (const auto& pending : pending_) pending->poll();
}

void ExactSums::finish() {
  std::int64_t first = 0;
  for (std::int64_t tensor = 0; tensor <= layout_.tensors(); ++tensor) {
    const bool stop = tensor == layout_.tensors() || started_[static_cast<std::size_t>(tensor)];
    if (!stop) continue;
    start(first, tensor);
    first = tensor + 1;
  }
  for (const auto& pending : pending_) pending->wait();
  pending_.clear();
}

std::span<const std::int64_t> ExactSums::own() const {
  return flat().subspan(static_cast<std::size_t>(layout_.shard_begin(group_.rank())),
                        static_cast<std::size_t>(layout_.shard_size(group_.rank())));
}

ConstTensorView ExactSums::own(const ShardPiece& piece) const {
  SWITCHYARD_CHECK(piece.flat_begin >= layout_.shard_begin(group_.rank()) &&
                       piece.flat_begin + piece.elements() <= layout_.shard_end(group_.rank()),
                   "a piece of this rank's shard; got one at {}", piece.flat_begin);
  return ConstTensorView(flat().data() + piece.flat_begin, DType::i64, {piece.elements()});
}

}  // namespace switchyard::parallel
