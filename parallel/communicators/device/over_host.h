// What communicators of device memory share: control, and what lies in host memory, goes through a
// communicator of the host beneath.
#pragma once

#include <memory>
#include <string>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// Takes over the communicator beneath and its observer, who is told of each collective once, by this one.
class OverHost : public Communicator {
 public:
  bool reaches_device_memory() const override { return true; }

 protected:
  explicit OverHost(std::unique_ptr<Communicator> host);

  // The same collectives, with device memory on every side.
  virtual void gather_on_device(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                                std::span<const std::int64_t> piece_bytes) = 0;
  virtual std::unique_ptr<Pending> reduce_scatter_on_device(const Call& call,
                                                            std::span<const std::int64_t> in,
                                                            std::span<std::int64_t> out,
                                                            std::span<const std::int64_t> counts) = 0;
  virtual std::unique_ptr<Pending> exchange_on_device(const Call& call, std::span<const std::byte> send,
                                                      std::span<std::byte> receive,
                                                      const ExchangeSizes& sizes) = 0;
  /// A communicator like this one over another group of the host.
  virtual std::unique_ptr<Communicator> alike(std::unique_ptr<Communicator> host) = 0;

  Communicator& host() { return *host_; }

 private:
  void do_barrier(const Call& call) final;
  void do_broadcast(const Call& call, std::span<std::byte> data, int root) final;
  void do_all_gather(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                     std::span<const std::int64_t> piece_bytes) final;
  void do_all_reduce(const Call& call, std::span<std::int64_t> values, Reduction reduction) final;
  std::unique_ptr<Pending> do_reduce_scatter(const Call& call, std::span<const std::int64_t> in,
                                             std::span<std::int64_t> out,
                                             std::span<const std::int64_t> counts) final;
  std::unique_ptr<Pending> do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                           std::span<std::byte> receive, const ExchangeSizes& sizes) final;
  std::unique_ptr<Communicator> do_split(const Call& call, int color, int key, std::string name) final;

  std::unique_ptr<Communicator> host_;
};

}  // namespace switchyard::parallel
