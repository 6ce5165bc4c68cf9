#include "parallel/communicators/device/over_host.h"

namespace switchyard::parallel {

OverHost::OverHost(std::unique_ptr<Communicator> host)
    : Communicator(host->rank(), host->size(), host->name()), host_(std::move(host)) {
  set_observer(host_->observer());
  host_->set_observer(nullptr);
}

void OverHost::do_barrier(const Call&) {
  host_->barrier();
}

void OverHost::do_broadcast(const Call&, std::span<std::byte> data, int root) {
  host_->broadcast(data, root);
}

void OverHost::do_all_gather(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                             std::span<const std::int64_t> piece_bytes) {
  if (call.memory == Device::cpu) return host_->all_gather_v(mine, all, piece_bytes);
  gather_on_device(call, mine, all, piece_bytes);
}

// The base class has split sums so that they cannot overflow.
void OverHost::do_all_reduce(const Call&, std::span<std::int64_t> values, Reduction reduction) {
  if (reduction == Reduction::max) return host_->all_reduce_max(values);
  if (reduction == Reduction::min) return host_->all_reduce_min(values);
  host_->all_reduce_sum(values);
}

std::unique_ptr<Pending> OverHost::do_reduce_scatter(const Call& call, std::span<const std::int64_t> in,
                                                     std::span<std::int64_t> out,
                                                     std::span<const std::int64_t> counts) {
  if (call.memory == Device::cpu) return host_->start_reduce_scatter(in, out, counts);
  return reduce_scatter_on_device(call, in, out, counts);
}

std::unique_ptr<Pending> OverHost::do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                                   std::span<std::byte> receive, const ExchangeSizes& sizes) {
  if (call.memory == Device::cpu) return host_->start_all_to_all_v(send, receive, sizes);
  return exchange_on_device(call, send, receive, sizes);
}

std::unique_ptr<Communicator> OverHost::do_split(const Call&, int color, int key, std::string name) {
  return alike(host_->split(color, key, std::move(name)));
}

}  // namespace switchyard::parallel
