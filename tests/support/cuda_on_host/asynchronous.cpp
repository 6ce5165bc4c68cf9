#include "tests/support/cuda_on_host/asynchronous.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <vector>

namespace switchyard::cuda_on_host {

namespace {

// The 8 bytes of a barrier.
struct BarrierState {
  std::uint16_t arrivals;  // that end a phase
  std::uint16_t missing;
  std::int32_t bytes_and_phase;  // 2 * (bytes announced - bytes arrived) + phase

  std::uint32_t phase() const { return static_cast<std::uint32_t>(bytes_and_phase) & 1U; }
};
static_assert(sizeof(BarrierState) == sizeof(std::uint64_t));

BarrierState read(const std::uint64_t* barrier) {
  return std::bit_cast<BarrierState>(*barrier);
}
void write(std::uint64_t* barrier, BarrierState state) {
  if (state.missing == 0 && state.bytes_and_phase >> 1 == 0) {
    state.missing = state.arrivals;
    state.bytes_and_phase ^= 1;
  }
  *barrier = std::bit_cast<std::uint64_t>(state);
}

struct BoxCopy {
  std::uint16_t* to;
  HostTensorMap map;
  std::int64_t matrix, row, column;
  std::uint64_t* barrier;
};
// Of the block that runs: blocks run one at a time.
std::deque<BoxCopy>& boxes() {
  static std::deque<BoxCopy> queue;
  return queue;
}

constexpr int kLine = 64;  // elements

// Writes a box as box_rows lines of 128 bytes, in the 128-byte swizzle of the address bits.
void perform(const BoxCopy& copy) {
  const std::uint32_t start = shared_address(copy.to);
  for (int line = 0; line < copy.map.box_rows; ++line) {
    for (int element = 0; element < kLine; ++element) {
      const std::int64_t at[3] = {copy.matrix, copy.row + line, copy.column + element};
      bool inside = true;
      std::int64_t offset = 0;
      for (int dim = 0; dim < 3; ++dim) {
        inside = inside && at[dim] >= 0 && at[dim] < copy.map.extent[dim];
        offset = offset * copy.map.extent[dim] + at[dim];
      }
      const std::uint16_t value = inside ? copy.map.base[offset] : std::uint16_t{0};
      const auto address = start + static_cast<std::uint32_t>(line * 128 + element * 2);
      const std::uint32_t within_line = address >> 4 & 7U, line_of_eight = address >> 7 & 7U;
      const std::uint32_t swizzled = (address & ~0x70U) | (within_line ^ line_of_eight) << 4;
      std::memcpy(shared_pointer(swizzled), &value, sizeof value);
    }
  }
  BarrierState state = read(copy.barrier);
  state.bytes_and_phase -= 2 * copy.map.box_rows * kLine * 2;
  write(copy.barrier, state);
}

}  // namespace

std::uint32_t shared_address(const void* pointer) {
  return kSharedBase + static_cast<std::uint32_t>(static_cast<const std::byte*>(pointer) - dynamic_shared());
}
std::byte* shared_pointer(std::uint32_t address) {
  return dynamic_shared() + address - kSharedBase;
}

void barrier_init(std::uint64_t* barrier, std::uint32_t arrivals, Where where) {
  if (!boxes().empty()) {
    boxes().clear();
    device_failure("a block ended before its copies", where);
  }
  *barrier = std::bit_cast<std::uint64_t>(
      BarrierState{static_cast<std::uint16_t>(arrivals), static_cast<std::uint16_t>(arrivals), 0});
}

void barrier_arrive(std::uint64_t* barrier, std::uint32_t expected_bytes, Where where) {
  BarrierState state = read(barrier);
  if (state.missing == 0) device_failure("more arrivals at a barrier than its phase has", where);
  state.bytes_and_phase += 2 * static_cast<std::int32_t>(expected_bytes);
  --state.missing;
  write(barrier, state);
}

void barrier_wait(std::uint64_t* barrier, std::uint32_t parity, Where where) {
  while (read(barrier).phase() == (parity & 1U)) {  // the phase of that parity has not ended
    if (!boxes().empty()) {
      const BoxCopy copy = boxes().front();
      boxes().pop_front();
      perform(copy);
    } else {
      yield(where);
    }
  }
}

void copy_box(void* to, const HostTensorMap& map, int matrix, int row, int column, std::uint64_t* barrier,
              Where where) {
  if ((shared_address(to) - kSharedBase) % 1024 != 0)
    device_failure(fmt::format("a box in the 128-byte swizzle lies at a multiple of 1024; got {}",
                               shared_address(to) - kSharedBase),
                   where);
  boxes().push_back({static_cast<std::uint16_t*>(to), map, matrix, row, column, barrier});
}

namespace {

// What one thread has begun.
struct Multiply {
  WarpgroupMultiply what;
  std::vector<float> a;  // (2 rows, 16)
  std::vector<float> b;  // (columns / 4, 16)
};
struct Copy16 {
  void* to;
  const void* from;
  int bytes;
};
template <typename Work>
struct Groups {
  std::deque<std::vector<Work>> committed;
  std::vector<Work> open;
};
struct ThreadWork {
  Extent block;
  Groups<Multiply> multiplies;
  Groups<Copy16> copies;
};

ThreadWork& work_of_thread() {
  static std::array<ThreadWork, 1024> all;
  ThreadWork& work = all[current_ids->thread.x];
  const Extent& block = current_ids->block;
  if (work.block.x != block.x || work.block.y != block.y || work.block.z != block.z) work = {};
  work.block = block;
  return work;
}

// Element (line, k) of an operand of 16 along the depth: PTX ISA, "Matrix Descriptor Format" and the
// canonical layouts of the 128-byte swizzle.
float element(std::uint64_t descriptor, bool across, int line, int k) {
  const auto field = [descriptor](int bit) {
    return static_cast<std::uint32_t>(descriptor >> bit & 0x3fffU) << 4;
  };
  const std::uint32_t start = field(0), leading = field(16), stride = field(32);
  std::uint32_t address = start;
  if (across) {
    // Lines of 64 along the operand's rows, one for each k: chunks of 64 by `leading`, eight k by `stride`.
    address += static_cast<std::uint32_t>(line / 64) * leading + static_cast<std::uint32_t>(line % 64 * 2) +
               static_cast<std::uint32_t>(k / 8) * stride + static_cast<std::uint32_t>(k % 8 * 128);
  } else {
    address +=
        static_cast<std::uint32_t>(line / 8) * stride + static_cast<std::uint32_t>(line % 8 * 128 + k * 2);
  }
  address ^= address >> 3 & 0x70U;
  std::uint16_t bits = 0;
  std::memcpy(&bits, shared_pointer(address), sizeof bits);
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

int thread_of_warpgroup() {
  return static_cast<int>(current_ids->thread.x % 128);
}

void gather(Multiply& multiply) {
  const int thread = thread_of_warpgroup();
  const WarpgroupMultiply& what = multiply.what;
  multiply.a.clear();
  multiply.b.clear();
  for (int half = 0; half < 2; ++half)
    for (int k = 0; k < 16; ++k)
      multiply.a.push_back(element(what.a, what.a_across, thread / 32 * 16 + thread % 32 / 4 + 8 * half, k));
  for (int j = 0; j < what.columns / 8; ++j)
    for (int c = 0; c < 2; ++c)
      for (int k = 0; k < 16; ++k)
        multiply.b.push_back(element(what.b, what.b_across, 8 * j + thread % 4 * 2 + c, k));
}

bool same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

void perform(const Multiply& begun, Where where) {
  Multiply now = begun;
  gather(now);
  if (!same_bits(now.a, begun.a) || !same_bits(now.b, begun.b))
    device_failure("an operand changed while a multiply that reads it was under way", where);
  const WarpgroupMultiply& what = begun.what;
  for (int i = 0; i < what.columns / 2; ++i) {
    const float* a = now.a.data() + i % 4 / 2 * 16;
    const float* b = now.b.data() + (i / 4 * 2 + i % 2) * 16;
    float sum = what.add ? what.sums[i] : 0.0F;
    for (int k = 0; k < 16; ++k) sum += a[k] * b[k];
    what.sums[i] = sum;
  }
}

template <typename Work, typename Perform>
void wait(Groups<Work>& groups, int left, Perform perform_one) {
  while (static_cast<int>(groups.committed.size()) > left) {
    for (const Work& one : groups.committed.front()) perform_one(one);
    groups.committed.pop_front();
  }
}

}  // namespace

void begin_multiply(const WarpgroupMultiply& multiply, Where where) {
  for (const std::uint64_t descriptor : {multiply.a, multiply.b})
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7U) != 0)
      device_failure("operands lie in the 128-byte swizzle without a base offset", where);
  Multiply begun{multiply, {}, {}};
  gather(begun);
  // Until it is waited for nobody may use the sums.
  work_of_thread().multiplies.open.push_back(std::move(begun));
}

void warpgroup_fence(Where where) {
  // The instruction wants all warps of its warpgroup; kernels leave the last names to this.
  named_barrier(8 + static_cast<int>(current_ids->thread.x / 128), 128, where);
}
void warpgroup_commit() {
  auto& groups = work_of_thread().multiplies;
  groups.committed.push_back(std::move(groups.open));
  groups.open.clear();
}
void warpgroup_wait(int left, Where where) {
  wait(work_of_thread().multiplies, left, [&](const Multiply& one) { perform(one, where); });
}

void begin_copy(void* to, const void* from, int bytes, Where where) {
  if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
    device_failure("copies of 16 bytes are aligned to 16", where);
  if (bytes < 0 || bytes > 16) device_failure("a copy of 16 bytes reads 0 to 16", where);
  work_of_thread().copies.open.push_back({to, from, bytes});
}
void copies_commit() {
  auto& groups = work_of_thread().copies;
  groups.committed.push_back(std::move(groups.open));
  groups.open.clear();
}
void copies_wait(int left) {
  wait(work_of_thread().copies, left, [](const Copy16& copy) {
    std::memset(copy.to, 0, 16);
    std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
  });
}

}  // namespace switchyard::cuda_on_host
