#include "tests/support/hostile/allocation_meter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> held_bytes{0};
std::atomic<std::int64_t> peak_held_bytes{0};

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  const auto size = static_cast<std::int64_t>(malloc_usable_size(memory));
  const std::int64_t held = held_bytes.fetch_add(size, std::memory_order_relaxed) + size;
  std::int64_t peak = peak_held_bytes.load(std::memory_order_relaxed);
  while (peak < held && !peak_held_bytes.compare_exchange_weak(peak, held, std::memory_order_relaxed)) {
  }
  return memory;
}

void give_back(void* memory) {
  if (memory == nullptr) return;
  held_bytes.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

// The other forms of new and delete come down to these; those that do not throw have to be here too, since
// the address sanitizer's own take other memory than these give back.
void* operator new(std::size_t size) {
  return counted(std::malloc(size == 0 ? 1 : size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto to = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(to, (size + to - 1) / to * to));
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return operator new(size, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  give_back(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  give_back(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  give_back(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  give_back(memory);
}

namespace switchyard::test {

AllocationMeter::AllocationMeter() : start_bytes_(held_bytes.load()) {
  peak_held_bytes.store(start_bytes_);
}

std::int64_t AllocationMeter::peak_bytes() const {
  return peak_held_bytes.load() - start_bytes_;
}

}  // namespace switchyard::test
