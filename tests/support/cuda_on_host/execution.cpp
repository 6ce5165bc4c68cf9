#include "tests/support/cuda_on_host/execution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/runtime/error.h"
#include "tests/support/cuda_on_host/fiber.h"

namespace switchyard::cuda_on_host {

const ThreadIds* current_ids = nullptr;

namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kSharedAlignment = 1024;
constexpr std::size_t kMostShared = 227 * 1024;
constexpr int kIdleSweeps = 100000;  // threads that only poll for so long wait for what never comes

struct Thread {
  ThreadIds ids;
  Fiber fiber;
  int stack = -1;  // in Block::stacks; -1 = not begun
  bool done = false;
  // Waits until *counter differs from seen.
  const std::uint64_t* counter = nullptr;
  std::uint64_t seen = 0;
  bool polls = false;
  Where where = Where::current();
};

struct Barrier {
  std::uint64_t generation = 0;
  int arrived = 0;
  int with_value = 0;
  int result = 0;
  Where where = Where::current();
};

// A meeting of the lanes of one mask. Two sets of slots: while the slower lanes still read one, the faster
// ones may already fill the other, and none can be two meetings ahead.
struct Meeting {
  unsigned mask = 0;
  unsigned arrived = 0;
  std::uint64_t generation = 0;
  Exchanged slots[2];
  Where where = Where::current();
};

struct Block {
  const Grid* grid = nullptr;
  std::vector<Thread> threads;
  std::vector<std::deque<Meeting>> meetings;  // of each warp; their addresses last
  Barrier barrier;
  std::array<Barrier, 16> named;
  std::byte* shared = nullptr;
  Thread* current = nullptr;
  Fiber runner;
  std::exception_ptr failure;
  std::vector<FiberStack> stacks;
  std::vector<int> free_stacks;
};

// Grids run one at a time, so that the state of the one that runs can be found by functions without
// arguments.
Block* block = nullptr;

std::string text(const Extent& at) {
  return fmt::format("({}, {}, {})", at.x, at.y, at.z);
}
std::string text(const Where& where) {
  const std::string_view path = where.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), where.line());
}

bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

[[noreturn]] void fail(const std::string& what) {
  const Thread* thread = block->current;
  throw DeviceError(fmt::format(
      "cuda: kernel {}{}: {}", block->grid->kernel,
      thread == nullptr
          ? std::string()
          : fmt::format(", block {}, thread {}", text(thread->ids.block), text(thread->ids.thread)),
      what));
}

bool runnable(const Thread& thread) {
  return !thread.done && (thread.counter == nullptr || *thread.counter != thread.seen);
}

void leave() {
  switch_fiber(block->current->fiber, block->runner);
}

void wait_for(const std::uint64_t& counter, std::uint64_t seen, Where where) {
  Thread& thread = *block->current;
  thread.where = where;
  thread.counter = &counter;
  thread.seen = seen;
  leave();
  thread.counter = nullptr;
}

void fiber_main() {
  arrived(block->runner);
  try {
    block->grid->thread();
  } catch (...) {
    if (!block->failure) block->failure = std::current_exception();
  }
  block->current->done = true;
  switch_fiber(block->current->fiber, block->runner, true);
  std::abort();  // a thread that has ended is not entered again
}

void enter(Thread& thread) {
  if (thread.stack < 0) {
    if (block->free_stacks.empty()) {
      block->free_stacks.push_back(static_cast<int>(block->stacks.size()));
      block->stacks.emplace_back();
    }
    thread.stack = block->free_stacks.back();
    block->free_stacks.pop_back();
    prepare(thread.fiber, block->stacks[static_cast<std::size_t>(thread.stack)], fiber_main);
  }
  block->current = &thread;
  current_ids = &thread.ids;
  thread.polls = false;
  switch_fiber(block->runner, thread.fiber);
  if (thread.done) block->free_stacks.push_back(thread.stack);
}

// Who waits where, for the message of a block that cannot go on.
std::string waiting_places() {
  std::string places;
  for (const Thread& thread : block->threads) {
    const std::string place = thread.done ? "the kernel's end" : text(thread.where);
    if (places.find(place) == std::string::npos) {
      const auto count =
          std::count_if(block->threads.begin(), block->threads.end(), [&](const Thread& other) {
            return (other.done ? "the kernel's end" : text(other.where)) == place;
          });
      places += fmt::format("{}{} of {} threads at {}", places.empty() ? "" : ", ", count,
                            block->threads.size(), place);
    }
  }
  return places;
}

void run_threads(std::mt19937_64* random) {
  const auto count = static_cast<unsigned>(block->threads.size());
  const unsigned warps = (count + kWarp - 1) / kWarp;
  std::vector<unsigned> order(warps);
  std::iota(order.begin(), order.end(), 0U);
  int idle = 0;
  unsigned done = 0;
  while (done < count) {
    if (random != nullptr) std::shuffle(order.begin(), order.end(), *random);
    bool entered = false;
    bool moved = false;
    for (const unsigned warp : order) {
      for (unsigned i = warp * kWarp; i < std::min(count, (warp + 1) * kWarp); ++i) {
        Thread& thread = block->threads[i];
        if (!runnable(thread)) continue;
        enter(thread);
        entered = true;
        moved |= !thread.polls;
        done += thread.done ? 1U : 0U;
        if (block->failure) std::rethrow_exception(block->failure);
      }
    }
    idle = moved ? 0 : idle + 1;
    block->current = nullptr;
    if (done < count && (!entered || idle > kIdleSweeps))
      fail(fmt::format("block {}: its threads wait for each other: {}", text(block->threads[0].ids.block),
                       waiting_places()));
  }
}

void begin_block(const Extent& index) {
  const Extent& extent = block->grid->threads;
  block->threads.assign(static_cast<std::size_t>(extent.x) * extent.y * extent.z, Thread{});
  for (std::size_t i = 0; i < block->threads.size(); ++i) {
    ThreadIds& ids = block->threads[i].ids;
    const auto at = static_cast<unsigned>(i);
    ids.thread = {at % extent.x, at / extent.x % extent.y, at / extent.x / extent.y};
    ids.block = index;
    ids.block_extent = extent;
    ids.grid_extent = block->grid->blocks;
  }
  block->meetings.assign((block->threads.size() + kWarp - 1) / kWarp, {});
  block->barrier = {};
  block->named = {};
  if (block->shared != nullptr) std::memset(block->shared, 0xff, block->grid->shared_bytes);
}

void check_shape(const Grid& grid) {
  const std::uint64_t threads = std::uint64_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  if (threads < 1 || threads > 1024 || grid.threads.z > 64)
    throw DeviceError(
        fmt::format("cuda: kernel {}: a block has 1 to 1024 threads, at most 64 of them deep; got {}",
                    grid.kernel, text(grid.threads)));
  if (grid.blocks.x < 1 || grid.blocks.x > 0x7fffffffU || grid.blocks.y < 1 || grid.blocks.y > 65535 ||
      grid.blocks.z < 1 || grid.blocks.z > 65535)
    throw DeviceError(fmt::format("cuda: kernel {}: a grid has 1 to (2^31 - 1, 65535, 65535) blocks; got {}",
                                  grid.kernel, text(grid.blocks)));
  if (grid.shared_bytes > kMostShared)
    throw DeviceError(fmt::format("cuda: kernel {}: a block has at most {} bytes of shared memory; got {}",
                                  grid.kernel, kMostShared, grid.shared_bytes));
}

// Makes `block` and its shared memory last for a scope.
struct Running {
  explicit Running(const Grid& grid) {
    state.grid = &grid;
    if (grid.shared_bytes > 0) {
      void* memory = nullptr;
      if (posix_memalign(&memory, kSharedAlignment, grid.shared_bytes) != 0) throw std::bad_alloc();
      state.shared = static_cast<std::byte*>(memory);
    }
    std::swap(state.stacks, kept_stacks());
    for (std::size_t i = 0; i < state.stacks.size(); ++i) state.free_stacks.push_back(static_cast<int>(i));
    block = &state;
  }
  ~Running() {
    block = nullptr;
    current_ids = nullptr;
    std::swap(state.stacks, kept_stacks());
    std::free(state.shared);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  // From one grid to the next: mapping them anew would cost more than the kernels.
  static std::vector<FiberStack>& kept_stacks() {
    static std::vector<FiberStack> stacks;
    return stacks;
  }
  Block state;
};

}  // namespace

void run_grid(const Grid& grid, std::uint64_t seed) {
  check_shape(grid);
  const Running running(grid);
  const std::uint64_t count = std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  std::vector<std::uint64_t> order(count);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  std::mt19937_64 random(seed);
  if (seed != 0) std::shuffle(order.begin(), order.end(), random);
  for (const std::uint64_t at : order) {
    begin_block({static_cast<unsigned>(at % grid.blocks.x),
                 static_cast<unsigned>(at / grid.blocks.x % grid.blocks.y),
                 static_cast<unsigned>(at / grid.blocks.x / grid.blocks.y)});
    run_threads(seed != 0 ? &random : nullptr);
  }
}

int block_barrier(bool value, Where where) {
  Barrier& barrier = block->barrier;
  if (barrier.arrived > 0 && !same(barrier.where, where))
    fail(fmt::format("threads of one block wait at different barriers: {} and {}", text(barrier.where),
                     text(where)));
  barrier.where = where;
  barrier.with_value += value ? 1 : 0;
  if (++barrier.arrived == static_cast<int>(block->threads.size())) {
    barrier.result = barrier.with_value;
    barrier.arrived = 0;
    barrier.with_value = 0;
    ++barrier.generation;
  } else {
    wait_for(barrier.generation, barrier.generation, where);
  }
  return barrier.result;
}

void named_barrier(int id, int threads, Where where) {
  if (id < 0 || id > 15) fail(fmt::format("barriers are named 0 to 15; got {} at {}", id, text(where)));
  Barrier& barrier = block->named[static_cast<std::size_t>(id)];
  if (++barrier.arrived == threads) {
    barrier.arrived = 0;
    ++barrier.generation;
  } else {
    wait_for(barrier.generation, barrier.generation, where);
  }
}

void yield(Where where) {
  block->current->where = where;
  block->current->polls = true;
  leave();
}

int lane() {
  return static_cast<int>((block->current - block->threads.data()) % kWarp);
}

const Exchanged& warp_exchange(unsigned mask, const void* value, std::size_t bytes, Where where) {
  const auto index = static_cast<std::size_t>(block->current - block->threads.data());
  const unsigned own = 1U << (index % kWarp);
  if ((mask & own) == 0)
    fail(fmt::format("{}: the lane is not in the mask {:#x} that it names", text(where), mask));
  std::deque<Meeting>& meetings = block->meetings[index / kWarp];
  auto found =
      std::find_if(meetings.begin(), meetings.end(), [&](const Meeting& m) { return m.mask == mask; });
  if (found == meetings.end()) {
    meetings.emplace_back().mask = mask;
    found = std::prev(meetings.end());
  }
  Meeting& meeting = *found;
  if (meeting.arrived != 0 && !same(meeting.where, where))
    fail(fmt::format("lanes of one warp meet at different places: {} and {}", text(meeting.where),
                     text(where)));
  meeting.where = where;
  Exchanged& slots = meeting.slots[meeting.generation % 2];
  std::memcpy(slots[index % kWarp].data(), value, bytes);
  meeting.arrived |= own;
  const std::size_t first = index / kWarp * kWarp;
  const auto lanes = static_cast<unsigned>(std::min<std::size_t>(kWarp, block->threads.size() - first));
  const unsigned present = lanes == kWarp ? 0xffffffffU : (1U << lanes) - 1U;
  if (meeting.arrived == (mask & present)) {
    meeting.arrived = 0;
    ++meeting.generation;
  } else {
    wait_for(meeting.generation, meeting.generation, where);
  }
  return slots;
}

void device_failure(const std::string& what, Where where) {
  fail(fmt::format("{}: {}", text(where), what));
}

std::byte* dynamic_shared() {
  if (block->shared == nullptr) fail("it uses dynamic shared memory, but was launched with none");
  return block->shared;
}

}  // namespace switchyard::cuda_on_host
