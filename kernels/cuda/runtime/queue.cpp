// Queues of work: CUDA streams and events.
#include "kernels/cuda/runtime/errors.h"
#include "kernels/cuda/runtime/stream.h"
#include "kernels/runtime/device.h"
#include "kernels/runtime/error.h"

namespace switchyard::kernels {

namespace {

class Event : public DeviceEvent {
 public:
  Event() { cuda::check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }
  ~Event() override { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void wait() override { cuda::check(cudaEventSynchronize(event_), "waiting for the device"); }
  bool done() override {
    const cudaError_t status = cudaEventQuery(event_);
    if (status != cudaErrorNotReady) cuda::check(status, "asking how far the device is");
    return status == cudaSuccess;
  }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class Queue : public DeviceQueue {
 public:
  explicit Queue() {
    cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }
  ~Queue() override { static_cast<void>(cudaStreamDestroy(stream_)); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  void copy_to_device(void* to, const void* pinned, std::size_t bytes) override {
    copy(to, pinned, bytes, cudaMemcpyHostToDevice, "copying to the device");
  }
  void copy_to_host(void* pinned, const void* from, std::size_t bytes) override {
    copy(pinned, from, bytes, cudaMemcpyDeviceToHost, "copying from the device");
  }
  void copy_on_device(void* to, const void* from, std::size_t bytes) override {
    copy(to, from, bytes, cudaMemcpyDeviceToDevice, "copying on the device");
  }
  void fill(void* to, std::uint8_t byte, std::size_t bytes) override {
    if (bytes > 0) cuda::check(cudaMemsetAsync(to, byte, bytes, stream_), "filling memory");
  }
  std::unique_ptr<DeviceEvent> make_event() override { return std::make_unique<Event>(); }
  void record(DeviceEvent& event) override {
    cuda::check(cudaEventRecord(static_cast<Event&>(event).get(), stream_), "recording an event");
  }
  void wait_for(DeviceEvent& event) override {
    cuda::check(cudaStreamWaitEvent(stream_, static_cast<Event&>(event).get(), 0), "ordering two streams");
  }
  void wait() override { cuda::check(cudaStreamSynchronize(stream_), "waiting for the device"); }
  void* handle() const override { return stream_; }

 private:
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const char* what) {
    if (bytes > 0) cuda::check(cudaMemcpyAsync(to, from, bytes, kind, stream_), what);
  }
  cudaStream_t stream_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceQueue> make_device_queue() {
  const FoundDevices found = found_devices();
  if (found.devices.empty()) throw DeviceError("cuda: " + found.none_because + "; set run.device: cpu");
  return std::make_unique<Queue>();
}

}  // namespace switchyard::kernels
