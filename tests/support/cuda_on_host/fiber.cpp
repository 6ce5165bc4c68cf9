#include "tests/support/cuda_on_host/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// rdi: where to keep the stack pointer that is left; rsi: the one to go on with. What the calling convention
// lets a callee change need not be kept.
asm(R"(
.text
.type switchyard_switch_stack, @function
switchyard_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size switchyard_switch_stack, .-switchyard_switch_stack
)");
extern "C" void switchyard_switch_stack(void** from, void* to);

namespace switchyard::cuda_on_host {

FiberStack::FiberStack() {
  void* memory = mmap(nullptr, kGuard + kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
}
FiberStack::~FiberStack() {
  if (memory_ != nullptr) munmap(memory_, kGuard + kBytes);
}
FiberStack::FiberStack(FiberStack&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}

void prepare(Fiber& fiber, const FiberStack& stack, void (*entry)()) {
  fiber.bottom = stack.bottom();
  fiber.bytes = FiberStack::kBytes;
  fiber.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack.bottom(),
                              FiberStack::kBytes);  // what an earlier fiber never returned from
#endif
  auto* top = reinterpret_cast<std::uintptr_t*>(stack.bottom() + FiberStack::kBytes);
  *--top = 0;  // where entry would return to; it also puts the stack where a call would have left it
  *--top = reinterpret_cast<std::uintptr_t>(entry);
  for (int saved = 0; saved < 6; ++saved) *--top = 0;
  fiber.stack_pointer = top;
}

#if defined(__SANITIZE_ADDRESS__)
void switch_fiber(Fiber& from, Fiber& to, bool last) {
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.bottom, to.bytes);
  switchyard_switch_stack(&from.stack_pointer, to.stack_pointer);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
}
void arrived(Fiber& runner) {
  const void* bottom = nullptr;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &runner.bytes);
  runner.bottom = static_cast<const std::byte*>(bottom);
}
#else
void switch_fiber(Fiber& from, Fiber& to, bool) {
  switchyard_switch_stack(&from.stack_pointer, to.stack_pointer);
}
void arrived(Fiber&) {}
#endif

}  // namespace switchyard::cuda_on_host
