// One stack of its own for each thread of a block, entered and left by hand.
#pragma once

#include <cstddef>

namespace switchyard::cuda_on_host {

/// Memory for one fiber, with a page below that faults; reused for many fibers, one after the other.
class FiberStack {
 public:
  FiberStack();
  ~FiberStack();
  FiberStack(FiberStack&& other) noexcept;
  FiberStack& operator=(FiberStack&&) = delete;

  std::byte* bottom() const { return memory_ + kGuard; }
  static constexpr std::size_t kGuard = 4096;
  static constexpr std::size_t kBytes = 256 * 1024;

 private:
  std::byte* memory_ = nullptr;
};

/// A place of execution: a fiber, or the thread that runs fibers.
struct Fiber {
  void* stack_pointer = nullptr;
  const std::byte* bottom = nullptr;  ///< of its stack; the runner's own is learnt on the first switch
  std::size_t bytes = 0;
  void* fake_stack = nullptr;  ///< the address sanitizer's
};

/// Makes `fiber` begin in `entry`, which must not return, when it is first switched to.
void prepare(Fiber& fiber, const FiberStack& stack, void (*entry)());
/// Leaves `from` and goes on in `to`; returns when somebody switches back. `last` = `from` is never entered
/// again.
void switch_fiber(Fiber& from, Fiber& to, bool last = false);
/// The first thing a fiber does in its entry: tells the sanitizer where it has arrived.
void arrived(Fiber& runner);

}  // namespace switchyard::cuda_on_host
