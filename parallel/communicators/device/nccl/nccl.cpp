// NcclCalls over the library.
#include <fmt/format.h>
#include <nccl.h>

#include <cstring>
#include <vector>

#include "kernels/runtime/error.h"
#include "parallel/communicators/device/nccl/nccl_calls.h"

namespace switchyard::parallel {

namespace {

static_assert(sizeof(ncclUniqueId) == sizeof(NcclId));

class LibraryCalls final : public NcclCalls {
 public:
  explicit LibraryCalls(kernels::DeviceQueue& caller)
      : caller_(caller), queue_(kernels::make_device_queue()), arrived_(caller.make_event()) {}

  NcclStatus make_id(NcclId& id) override {
    ncclUniqueId made;
    const NcclStatus status = status_of(ncclGetUniqueId(&made));
    std::memcpy(id.data(), &made, sizeof made);
    return status;
  }
  NcclStatus start(const NcclId& id, int rank, int size) override {
    ncclUniqueId same;
    std::memcpy(&same, id.data(), sizeof same);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return status_of(ncclCommInitRankConfig(&comm_, size, same, rank, &config));
  }
  NcclStatus state() override {
    ncclResult_t result = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result);
    return status_of(asked != ncclSuccess ? asked : result);
  }

  NcclStatus begin() override { return status_of(ncclGroupStart()); }
  NcclStatus end() override { return status_of(ncclGroupEnd()); }
  NcclStatus send(const void* from, std::int64_t bytes, int peer) override {
    return status_of(ncclSend(from, static_cast<std::size_t>(bytes), ncclUint8, peer, comm_, stream()));
  }
  NcclStatus receive(void* to, std::int64_t bytes, int peer) override {
    return status_of(ncclRecv(to, static_cast<std::size_t>(bytes), ncclUint8, peer, comm_, stream()));
  }
  NcclStatus reduce(const void* in, void* out, std::int64_t count, int root) override {
    return status_of(
        ncclReduce(in, out, static_cast<std::size_t>(count), ncclInt64, ncclSum, root, comm_, stream()));
  }
  NcclStatus broadcast(const void* in, void* out, std::int64_t bytes, int root) override {
    return status_of(
        ncclBroadcast(in, out, static_cast<std::size_t>(bytes), ncclUint8, root, comm_, stream()));
  }

  void follow_caller() override {
    caller_.record(*arrived_);
    queue_->wait_for(*arrived_);
  }
  std::int64_t mark() override {
    // Marks are few at a time: those that have been passed are used again.
    const auto slot = static_cast<std::size_t>(marks_ % kMarks);
    if (slot == events_.size()) events_.push_back(queue_->make_event());
    queue_->record(*events_[slot]);
    return marks_++;
  }
  bool ended(std::int64_t mark) override { return events_[static_cast<std::size_t>(mark % kMarks)]->done(); }

  void abort() override {
    if (comm_ != nullptr) ncclCommAbort(comm_);
    comm_ = nullptr;
  }
  NcclStatus finish() override { return status_of(ncclCommFinalize(comm_)); }
  void release() override {
    ncclCommDestroy(comm_);
    comm_ = nullptr;
  }
  std::string reason() override {
    return std::string(ncclGetErrorString(last_)) + " (" + ncclGetLastError(comm_) + ")";
  }

 private:
  static constexpr std::int64_t kMarks = 64;

  cudaStream_t stream() const { return static_cast<cudaStream_t>(queue_->handle()); }
  NcclStatus status_of(ncclResult_t result) {
    if (result == ncclSuccess) return NcclStatus::success;
    if (result == ncclInProgress) return NcclStatus::in_progress;
    last_ = result;
    return result == ncclRemoteError ? NcclStatus::remote_error : NcclStatus::failed;
  }

  kernels::DeviceQueue& caller_;
  std::unique_ptr<kernels::DeviceQueue> queue_;
  std::unique_ptr<kernels::DeviceEvent> arrived_;
  std::vector<std::unique_ptr<kernels::DeviceEvent>> events_;
  std::int64_t marks_ = 0;
  ncclComm_t comm_ = nullptr;
  ncclResult_t last_ = ncclSuccess;
};

}  // namespace

std::unique_ptr<NcclCalls> make_nccl_calls(kernels::DeviceQueue& caller) {
  return std::make_unique<LibraryCalls>(caller);
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return {};
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace switchyard::parallel
