// Devices and their memory.
#include "kernels/runtime/device.h"

#include <fmt/format.h>

#include <array>

#include "kernels/cuda/runtime/errors.h"
#include "kernels/runtime/device_address.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/out_of_memory.h"

namespace switchyard::kernels {

namespace {

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// Fills new memory; used by nothing else, so that it needs no order with other work.
void zero(void* memory, std::size_t bytes) {
  cudaStream_t stream = nullptr;
  cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  cuda::check(cudaMemsetAsync(memory, 0, bytes, stream), "zeroing memory");
  cuda::check(cudaStreamSynchronize(stream), "zeroing memory");
  cuda::check(cudaStreamDestroy(stream), "ending a stream");
}

}  // namespace

FoundDevices found_devices() {
  FoundDevices found;
  int count = 0;
  int driver = 0;
  int runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    static_cast<void>(cudaGetLastError());  // it would show up at the next launch
    found.none_because = fmt::format("CUDA finds no device: {}", cudaGetErrorString(status));
    return found;
  }
  cuda::check(cudaDriverGetVersion(&driver), "reading the driver's version");
  cuda::check(cudaRuntimeGetVersion(&runtime), "reading the runtime's version");
  int current = 0;
  cuda::check(cudaGetDevice(&current), "asking for the current device");
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, index), "reading a device's properties");
    DeviceInfo info{
        properties.name,  version_text(driver),           version_text(runtime),     properties.major,
        properties.minor, properties.multiProcessorCount, properties.totalGlobalMem, 0};
    std::size_t total = 0;
    cuda::check(cudaSetDevice(index), "choosing a device");
    cuda::check(cudaMemGetInfo(&info.free_bytes, &total), "asking for free memory");
    found.devices.push_back(info);
  }
  cuda::check(cudaSetDevice(current), "choosing a device");
  return found;
}

void use_device(int index) {
  cuda::check(cudaSetDevice(index), "choosing a device");
}

std::string current_device_address() {
  int device = 0;
  cuda::check(cudaGetDevice(&device), "asking for the current device");
  std::array<char, 32> address{};
  cuda::check(cudaDeviceGetPCIBusId(address.data(), static_cast<int>(address.size()), device),
              "asking for a device's address");
  return address.data();
}

int device_peers(int index) {
  int count = 0;
  cuda::check(cudaGetDeviceCount(&count), "counting devices");
  int peers = 0;
  for (int other = 0; other < count; ++other) {
    if (other == index) continue;
    int reaches = 0;
    cuda::check(cudaDeviceCanAccessPeer(&reaches, index, other), "asking for access to another device");
    peers += reaches;
  }
  return peers;
}

void* allocate_device_memory(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    std::size_t free_bytes = 0;
    std::size_t total = 0;
    cuda::check(cudaMemGetInfo(&free_bytes, &total), "asking for free memory");
    throw OutOfMemory(
        bytes, free_bytes, total,
        fmt::format("cuda: out of memory: {} bytes were asked for, {} of the device's {} are free; lower "
                    "train.micro_batch or data.sequence_length, or spread the experts over more ranks "
                    "(parallel.expert)",
                    bytes, free_bytes, total));
  }
  cuda::check(status, "allocating memory");
  zero(memory, bytes);
  return memory;
}

void release_device_memory(void* memory) noexcept {
  static_cast<void>(cudaFree(memory));  // an error of earlier work; the next wait tells of it
}

void* allocate_pinned_memory(std::size_t bytes) {
  void* memory = nullptr;
  cuda::check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "allocating pinned memory");
  return memory;
}

void release_pinned_memory(void* memory) noexcept {
  static_cast<void>(cudaFreeHost(memory));
}

}  // namespace switchyard::kernels
