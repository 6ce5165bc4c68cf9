#include "tests/support/cuda_on_host/runtime_calls.h"

#include <cstdio>
#include <cstring>
#include <string>

#include "tests/support/cuda_on_host/counting.h"
#include "tests/support/cuda_on_host/memory.h"
#include "tests/support/cuda_on_host/streams.h"

namespace switchyard::cuda_on_host {

Counters& counting() {
  static Counters state;
  return state;
}
Counters counters() {
  const std::scoped_lock lock(runtime_mutex());
  return counting();
}

namespace {

int device_count = 1;
thread_local int current_device = 0;  // all are the same memory; only their numbers differ
std::string mistake;                  // of the call that answered cudaErrorInvalidValue last

cudaError_t invalid(const char* what) {
  mistake = what;
  return cudaErrorInvalidValue;
}
cudaError_t after_wait() {
  return failure().empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

// Whether [p, p + bytes) may be the device's (or the pinned host's) side of an asynchronous copy.
bool is_owned(const void* p, std::size_t bytes, Owner wanted) {
  Owner owner = Owner::host;
  return find_owner(p, bytes, owner) && owner == wanted;
}

}  // namespace

void set_device_count(int count) {
  device_count = count;
}

}  // namespace switchyard::cuda_on_host

using namespace switchyard::cuda_on_host;  // NOLINT: the file defines CUDA's own functions with these

const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInitializationError:
      return "cudaErrorInitializationError";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "?";
}

const char* cudaGetErrorString(cudaError_t status) {
  const std::scoped_lock lock(runtime_mutex());
  if (status == cudaErrorLaunchFailure) return failure().c_str();
  if (status == cudaErrorInvalidValue) return mistake.c_str();
  if (status == cudaErrorMemoryAllocation) return "out of memory";
  if (status == cudaErrorNoDevice) return "no CUDA-capable device is detected";
  return cudaGetErrorName(status);
}

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count;
  return device_count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= device_count) return invalid("there is no device of this number");
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* address, int length, int device) {
  std::snprintf(address, static_cast<std::size_t>(length), "0000:%02x:00.0", static_cast<unsigned>(device));
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  *can = device != peer ? 1 : 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "the host, pretending");
  properties->totalGlobalMem = device_memory();
  properties->major = 9;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().device_waits;
  wait_for_all();
  return after_wait();
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  const std::scoped_lock lock(runtime_mutex());
  *total = device_memory();
  *free_bytes = *total - device_memory_used();
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().device_allocations;
  *memory = bytes == 0 ? nullptr : allocate_device(bytes);
  return *memory != nullptr || bytes == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) {
  const std::scoped_lock lock(runtime_mutex());
  if (memory == nullptr) return cudaSuccess;
  wait_for_all();
  return release_device(memory) ? after_wait() : invalid("this is no device memory");
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().pinned_allocations;
  *memory = allocate_pinned(bytes);
  return *memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  const std::scoped_lock lock(runtime_mutex());
  if (memory == nullptr) return cudaSuccess;
  wait_for_all();
  return release_pinned(memory) ? cudaSuccess : invalid("this is no pinned memory");
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::scoped_lock lock(runtime_mutex());
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault || kind == cudaMemcpyHostToHost)
    return invalid("a copy says from where to where it goes, and one of them is the device");
  if (bytes > 0 && !is_owned(to, bytes, to_device ? Owner::device : Owner::pinned))
    return invalid(to_device ? "the target is no device memory, or too short"
                             : "the target is not pinned, or too short");
  if (bytes > 0 && !is_owned(from, bytes, from_device ? Owner::device : Owner::pinned))
    return invalid(from_device ? "the source is no device memory, or too short"
                               : "the source is not pinned, or too short");
  ++counting().copies;
  enqueue(stream, [to, from, bytes] {
    if (bytes > 0) std::memmove(to, from, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().fills;
  enqueue(stream, [to, value, bytes] {
    if (bytes > 0) std::memset(to, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking)
    return invalid("streams are made non-blocking, or the default stream orders them");
  *stream = make_stream();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  destroy_stream(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().stream_waits;
  wait_for_stream(stream);
  return after_wait();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  make_stream_wait(stream, event);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = make_event();
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  destroy_event(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  record_event(event, stream);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().stream_waits;
  wait_for_event(event);
  return after_wait();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event_done(event) ? cudaSuccess : cudaErrorNotReady;
}
