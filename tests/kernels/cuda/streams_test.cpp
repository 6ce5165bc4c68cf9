// What the stand-in's streams promise, and the device's memory and queues on top of them
// (kernels/runtime/device.h).
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/cuda/device/launch.h"
#include "kernels/runtime/context.h"
#include "kernels/runtime/error.h"
#include "tests/support/cuda_on_host/control.h"

namespace switchyard::test {
namespace {

using kernels::Buffer;
using kernels::Context;

struct Pinned {
  explicit Pinned(std::size_t bytes) : memory(kernels::allocate_pinned_memory(bytes)) {}
  ~Pinned() { kernels::release_pinned_memory(memory); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  int* ints() const { return static_cast<int*>(memory); }
  void* memory;
};

__global__ void add_one(int* p) {
  p[threadIdx.x] += 1;
}
__global__ void fails(int*) {
  if (threadIdx.x == 0) __syncthreads();
}

TEST(CudaStreams, WorkIsDoneWhenSomebodyWaits) {
  const auto queue = kernels::make_device_queue();
  const Buffer device(64 * sizeof(int), Device::cuda);
  const Pinned host(64 * sizeof(int));
  for (int i = 0; i < 64; ++i) host.ints()[i] = i;
  queue->copy_to_device(device.data(), host.memory, 64 * sizeof(int));
  kernels::cuda::launch(static_cast<cudaStream_t>(queue->handle()), "add_one", {1, 64}, add_one,
                        static_cast<int*>(device.data()));
  queue->copy_to_host(host.memory, device.data(), 64 * sizeof(int));
  EXPECT_EQ(host.ints()[5], 5) << "the host did not wait";
  queue->wait();
  for (int i = 0; i < 64; ++i) EXPECT_EQ(host.ints()[i], i + 1);
}

TEST(CudaStreams, EventsOrderStreamsAndNothingElseDoes) {
  for (const bool ordered : {false, true}) {
    for (const auto order : {cuda_on_host::Order::awaited_only, cuda_on_host::Order::others_first}) {
      cuda_on_host::set_schedule(order, 0);
      const auto writer = kernels::make_device_queue(), reader = kernels::make_device_queue();
      const auto written = writer->make_event();
      const Buffer device(sizeof(int), Device::cuda);
      const Pinned host(sizeof(int));
      writer->fill(device.data(), 0x01, sizeof(int));
      writer->record(*written);
      if (ordered) reader->wait_for(*written);
      reader->copy_to_host(host.memory, device.data(), sizeof(int));
      reader->wait();
      const bool seen = ordered || order == cuda_on_host::Order::others_first;
      EXPECT_EQ(*host.ints(), seen ? 0x01010101 : 0);
      cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, 0);
    }
  }
}

TEST(CudaStreams, AFailureShowsAtTheWaitAndSaysWhere) {
  const auto queue = kernels::make_device_queue();
  const Buffer device(64 * sizeof(int), Device::cuda);
  kernels::cuda::launch(static_cast<cudaStream_t>(queue->handle()), "fails", {1, 64}, fails,
                        static_cast<int*>(device.data()));
  try {
    queue->wait();
    FAIL();
  } catch (const DeviceError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("kernel fails"), std::string::npos) << what;
    EXPECT_NE(what.find("CUDA_LAUNCH_BLOCKING"), std::string::npos) << what;
  }
  cuda_on_host::forget_failure();
}

TEST(CudaStreams, CopiesWantPinnedMemoryThatIsLongEnough) {
  const auto queue = kernels::make_device_queue();
  const Buffer device(16, Device::cuda);
  const Pinned host(32);
  int pageable[4] = {};
  EXPECT_THROW(queue->copy_to_device(device.data(), pageable, 16), DeviceError);
  EXPECT_THROW(queue->copy_to_device(device.data(), host.memory, 32), DeviceError);
  EXPECT_THROW(queue->copy_on_device(device.data(), host.memory, 16), DeviceError);
}

TEST(CudaStreamsDeathTest, TheHostCannotTouchDeviceMemory) {
  const Buffer device(16, Device::cuda);
  EXPECT_DEATH(*static_cast<volatile int*>(device.data()) = 1, "the host touched device memory|SEGV");
}

TEST(CudaMemory, IsZeroAlignedAndRefusedInWordsWhenThereIsNoMore) {
  const Buffer first(1000, Device::cuda), second(1000, Device::cuda);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first.data()) % 256, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.data()) % 256, 0U);
  const auto queue = kernels::make_device_queue();
  const Pinned host(1000);
  queue->copy_to_host(host.memory, second.data(), 1000);
  queue->wait();
  EXPECT_EQ(host.ints()[249], 0);
  cuda_on_host::set_device_memory(1 << 20);
  try {
    const Buffer too_much(2 << 20, Device::cuda);
    ADD_FAILURE();
  } catch (const DeviceError& error) {
    const std::string what = error.what();
    for (const char* part : {"2097152 bytes were asked for", "1046576 of the device's 1048576 are free",
                             "train.micro_batch", "parallel.expert"})
      EXPECT_NE(what.find(part), std::string::npos) << part << " in " << what;
  }
  cuda_on_host::set_device_memory(std::size_t{8} << 30);
}

TEST(CudaContext, TakesScratchFromTheDeviceAndAllocatesNothingOnceItIsWarm) {
  Context context(1, kernels::Isa::generic, Device::cuda);
  const auto step = [&] {
    kernels::ArenaScope scope(context.scratch());
    const TensorView a = scope.tensor(DType::f32, {1000});
    const TensorView b = scope.tensor(DType::f32, {3 << 20});
    EXPECT_EQ(a.device(), Device::cuda);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.raw()) % 256, 0U);
  };
  step();
  const cuda_on_host::Counters before = cuda_on_host::counters();
  for (int i = 0; i < 3; ++i) step();
  const cuda_on_host::Counters after = cuda_on_host::counters();
  EXPECT_EQ(after.device_allocations, before.device_allocations);
  EXPECT_EQ(after.device_waits, 0);
}

TEST(CudaDevices, AreDescribedOrMissedInWords) {
  const kernels::FoundDevices found = kernels::found_devices();
  ASSERT_EQ(found.devices.size(), 1U);
  EXPECT_EQ(found.devices[0].driver, "13.0");
  EXPECT_GT(found.devices[0].memory_bytes, found.devices[0].free_bytes / 2);
  cuda_on_host::set_device_count(0);
  EXPECT_NE(kernels::found_devices().none_because.find("no CUDA-capable device"), std::string::npos);
  try {
    const Context context(1, kernels::Isa::generic, Device::cuda);
    ADD_FAILURE();
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("set run.device: cpu"), std::string::npos) << error.what();
  }
  cuda_on_host::set_device_count(1);
  EXPECT_THROW(kernels::use_device(7), DeviceError);
}

}  // namespace
}  // namespace switchyard::test
