// The ring of stages between the warp that starts copies and the warpgroups that multiply. Device code.
#pragma once

#include "kernels/cuda/device/shared_memory.h"
#include "kernels/cuda/instructions/barrier.h"
#include "kernels/cuda/instructions/descriptor.h"

namespace switchyard::kernels::cuda {

/// One warpgroup starts the copies, two multiply.
inline constexpr int kWarpgroupThreads = 128;
inline constexpr int kMultiplyThreads = 2 * kWarpgroupThreads;
inline constexpr int kBlockThreads = kWarpgroupThreads + kMultiplyThreads;
inline constexpr int kMultiplyWarps = kMultiplyThreads / 32;
/// Elements of the reduction in a stage: one line.
inline constexpr int kStageDepth = kChunkElements;
/// Of the 168 registers a thread that a block of 384 can have: the copying warpgroup gives, the others take.
inline constexpr int kCopyRegisters = 24;
inline constexpr int kMultiplyRegisters = 240;

/// Where one side of the ring is.
struct RingPlace {
  int stage = 0;
  std::uint32_t parity = 0;
  __device__ void advance(int stages) {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1U;
    }
  }
};

/// kStages stages of kStageBytes in shared memory, then their barriers. `full` ends a phase when a stage's
/// bytes are there, `empty` when all multiplying warps have read it.
template <int kStages, int kStageBytes>
struct Ring {
  static constexpr int kBytes = kStages * kStageBytes + 2 * kStages * static_cast<int>(sizeof(Barrier));

  unsigned char* stages;
  Barrier* full;
  Barrier* empty;

  /// All threads of the block.
  __device__ static Ring open() {
    unsigned char* memory = dynamic_shared<unsigned char>();
    auto* barriers = reinterpret_cast<Barrier*>(memory + kStages * kStageBytes);
    Ring ring{memory, barriers, barriers + kStages};
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < kStages; ++stage) {
        barrier_init(ring.full + stage, 1);
        barrier_init(ring.empty + stage, kMultiplyWarps);
      }
      fence_barrier_init();
    }
    __syncthreads();
    return ring;
  }

  __device__ unsigned char* stage(const RingPlace& place) const { return stages + place.stage * kStageBytes; }
  /// The copying thread: waits until the stage may be written and announces its bytes.
  __device__ unsigned char* fill(const RingPlace& place) const {
    barrier_wait(empty + place.stage, place.parity ^ 1U);  // the first round finds all stages empty
    barrier_arrive_expecting(full + place.stage, kStageBytes);
    return stage(place);
  }
  /// The multiplying threads: waits until the stage's bytes are there.
  __device__ unsigned char* take(const RingPlace& place) const {
    barrier_wait(full + place.stage, place.parity);
    return stage(place);
  }
  /// A multiplying warp has read the stage.
  __device__ void release(int stage) const {
    if (threadIdx.x % 32 == 0) barrier_arrive(empty + stage);
  }
};

}  // namespace switchyard::kernels::cuda
