#include "parallel/sums/exact_sums.h"

#include <algorithm>
#include <cstring>

#include "kernels/runtime/check.h"
#include "kernels/runtime/host_values.h"

namespace switchyard::parallel {

namespace {
Device device_of(const kernels::Context* context) {
  return context == nullptr ? Device::cpu : context->device();
}
}  // namespace

ExactSums::ExactSums(Communicator& group, std::span<const ShardTensor> tensors, std::int64_t additions,
                     kernels::Context* device)
    : group_(group),
      layout_(tensors, group.size()),
      device_(device_of(device) == Device::cpu ? nullptr : device),
      sums_(DType::i64, {layout_.flat_size()}, device_of(device)),
      overflow_(DType::i64, {1}, device_of(device)),
      limit_(kernels::gradient_limit(additions)),
      started_(tensors.size(), false) {}

std::span<std::int64_t> ExactSums::memory() const {
  return {flat().data<std::int64_t>(), static_cast<std::size_t>(layout_.flat_size())};
}

std::int64_t ExactSums::overflow() const {
  if (device_ == nullptr) return *overflow_.data<std::int64_t>();
  return *kernels::HostValues(*device_, overflow_).data<std::int64_t>();
}

kernels::GradientSum ExactSums::sum(std::int64_t tensor, Shape shape) {
  SWITCHYARD_CHECK(tensor >= 0 && tensor < layout_.tensors() && shape.elements() == layout_.elements(tensor),
                   "tensor {} of {} has another number of elements than shape {}", tensor, layout_.tensors(),
                   shape.text());
  return {flat().rows(layout_.flat_begin(tensor), shape.elements()).reshaped(shape), overflow_.view(),
          limit_};
}

void ExactSums::zero() {
  SWITCHYARD_CHECK(pending_.empty(), "finish() comes before zero(); {} exchanges are under way",
                   pending_.size());
  if (device_ == nullptr) {
    if (layout_.flat_size() > 0) std::memset(flat().raw(), 0, flat().bytes());
    *overflow_.data<std::int64_t>() = 0;
  } else {
    kernels::clear(*device_, flat());
    kernels::clear(*device_, overflow_);
  }
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
  const std::int64_t count = layout_.flat_begin(last) - begin;
  const auto in = memory().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
  std::int64_t own_begin = 0;
  for (int rank = 0; rank < group_.rank(); ++rank) own_begin += counts[static_cast<std::size_t>(rank)];
  const auto own = in.subspan(static_cast<std::size_t>(own_begin),
                              static_cast<std::size_t>(counts[static_cast<std::size_t>(group_.rank())]));
  pending_.push_back(group_.start_reduce_scatter(in, own, counts, flat().device()));
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
  SWITCHYARD_CHECK(device_ == nullptr, "sums of {} elements on a device have no span", layout_.flat_size());
  return memory().subspan(static_cast<std::size_t>(layout_.shard_begin(group_.rank())),
                          static_cast<std::size_t>(layout_.shard_size(group_.rank())));
}

ConstTensorView ExactSums::own(const ShardPiece& piece) const {
  SWITCHYARD_CHECK(piece.flat_begin >= layout_.shard_begin(group_.rank()) &&
                       piece.flat_begin + piece.elements() <= layout_.shard_end(group_.rank()),
                   "a piece of this rank's shard; got one at {}", piece.flat_begin);
  return flat().rows(piece.flat_begin, piece.elements());
}

}  // namespace switchyard::parallel
