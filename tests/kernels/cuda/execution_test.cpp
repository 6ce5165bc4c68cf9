// The stand-in itself: threads that meet, and mistakes that it must find.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared_memory.h"
#include "kernels/runtime/context.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/peak.h"
#include "tests/support/cuda_on_host/control.h"

namespace switchyard::test {
namespace {

using kernels::cuda::LaunchShape;

// Runs the kernel and returns what went wrong, or nothing.
template <typename... Parameters, typename... Arguments>
std::string failure_of(const LaunchShape& shape, void (*kernel)(Parameters...), Arguments... arguments) {
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  kernels::cuda::launch(stream, "tried", shape, kernel, arguments...);
  const cudaError_t status = cudaStreamSynchronize(stream);
  std::string what = status == cudaSuccess ? "" : cudaGetErrorString(status);
  cudaStreamDestroy(stream);
  cuda_on_host::forget_failure();
  return what;
}

__global__ void reversed(int* out, int n) {
  int* shared = kernels::cuda::dynamic_shared<int>();
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = static_cast<int>(blockIdx.x) * n + i;
  __syncthreads();
  out[static_cast<int>(blockIdx.x) * n + i] = shared[n - 1 - i];
}

TEST(CudaOnHost, ThreadsOfABlockMeetAtBarriers) {
  constexpr int kBlocks = 5, kThreads = 96;
  for (const std::uint64_t seed : {0, 1, 2}) {
    cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, seed);
    std::vector<int> out(kBlocks * kThreads);
    EXPECT_EQ(failure_of({kBlocks, kThreads, kThreads * sizeof(int)}, reversed, out.data(), kThreads), "");
    for (int b = 0; b < kBlocks; ++b)
      for (int i = 0; i < kThreads; ++i)
        EXPECT_EQ(out[static_cast<std::size_t>(b * kThreads + i)], b * kThreads + kThreads - 1 - i);
  }
  cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, 0);
}

__global__ void lanes(float* sums, unsigned* ballots, int* up) {
  const auto i = static_cast<int>(threadIdx.x);
  sums[i] = kernels::cuda::warp_sum(static_cast<float>(i));
  ballots[i] = __ballot_sync(0xffffffffU, i % 3 == 0);
  up[i] = __shfl_up_sync(0xffffffffU, i, 1);
  if (i % 32 < 16) up[i] += 100 * __shfl_xor_sync(0x0000ffffU, i, 1);  // half a warp
}

TEST(CudaOnHost, LanesExchangeValues) {
  std::vector<float> sums(64);
  std::vector<unsigned> ballots(64);
  std::vector<int> up(64);
  ASSERT_EQ(failure_of({1, 64}, lanes, sums.data(), ballots.data(), up.data()), "");
  EXPECT_EQ(sums[5], 496.0F);
  EXPECT_EQ(sums[40], 1520.0F);
  EXPECT_EQ(ballots[0], 0x49249249U);
  EXPECT_EQ(ballots[63], 0x92492492U);  // 33, 36, ...: lanes 1, 4, ...
  EXPECT_EQ(up[0], 0 + 100 * 1);
  EXPECT_EQ(up[20], 19);
  EXPECT_EQ(up[33], 32 + 100 * 32);
}

__global__ void some_threads_wait(int) {
  if (threadIdx.x < 40) __syncthreads();
}
__global__ void different_barriers(int) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void lane_stays_away(int) {
  if (threadIdx.x != 3) __syncwarp();
}
__global__ void polls_forever(int) {
  while (true) __nanosleep(1);
}
__global__ void no_shared_memory(int) {
  *kernels::cuda::dynamic_shared<int>() = 1;
}

TEST(CudaOnHost, FindsThreadsThatDoNotMeet) {
  const std::string some = failure_of({1, 64}, some_threads_wait, 0);
  EXPECT_NE(some.find("kernel tried"), std::string::npos) << some;
  EXPECT_NE(some.find("40 of 64 threads at execution_test.cpp"), std::string::npos) << some;
  EXPECT_NE(some.find("24 of 64 threads at the kernel's end"), std::string::npos) << some;
  EXPECT_NE(failure_of({1, 64}, different_barriers, 0).find("different barriers"), std::string::npos);
  EXPECT_NE(failure_of({1, 32}, lane_stays_away, 0).find("wait for each other"), std::string::npos);
  EXPECT_NE(failure_of({1, 32}, polls_forever, 0).find("wait for each other"), std::string::npos);
  EXPECT_NE(failure_of({1, 32}, no_shared_memory, 0).find("launched with none"), std::string::npos);
}

TEST(CudaOnHost, RefusesShapesThatNoDeviceLaunches) {
  std::vector<int> out(4);
  EXPECT_NE(failure_of({1, 1025}, reversed, out.data(), 1).find("1 to 1024 threads"), std::string::npos);
  EXPECT_NE(failure_of({dim3(1, 65536), 1}, reversed, out.data(), 1).find("65535"), std::string::npos);
  EXPECT_NE(failure_of({1, 1, 228 * 1024}, reversed, out.data(), 1).find("bytes of shared memory"),
            std::string::npos);
  EXPECT_EQ(failure_of({0, 1}, reversed, out.data(), 1), "");  // no blocks: no launch
}

TEST(CudaPeak, APieceIsABlockForEveryMultiprocessor) {
  kernels::Context context(1, kernels::Isa::generic, Device::cuda);
  constexpr double kBlock = 256.0 * 8 * 16 * 2;  // threads, chains, repeats, operations
  const int processors = kernels::found_devices().devices.at(0).multiprocessors;
  EXPECT_GT(processors, 1);
  EXPECT_EQ(kernels::Peak<kernels::Backend::cuda>::run(context, 1, 1), kBlock * processors);
}

}  // namespace
}  // namespace switchyard::test
