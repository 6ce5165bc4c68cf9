#include "tests/support/cuda_on_host/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string_view>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) (static_cast<void>(memory), static_cast<void>(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) (static_cast<void>(memory), static_cast<void>(bytes))
#endif

namespace switchyard::cuda_on_host {

namespace {

constexpr std::size_t kReserved = std::size_t{16} << 30;  // of addresses, not of memory
constexpr std::size_t kAlignment = 256;                   // as cudaMalloc promises
constexpr std::size_t kGap = 256;                         // between allocations, for the address sanitizer
constexpr std::size_t kPage = 4096;

std::size_t rounded(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// For programs that run on the stand-in as processes of their own; tests in one process use
// set_device_memory.
std::size_t limit_of_environment() {
  constexpr std::size_t kDefault = std::size_t{8} << 30;
  const char* bytes = std::getenv("SWITCHYARD_STAND_IN_MEMORY");
  return bytes != nullptr ? std::strtoull(bytes, nullptr, 10) : kDefault;
}

struct Memory {
  std::byte* base = nullptr;
  std::size_t reach = 0;  // bytes from base that have ever been used, whole pages
  std::size_t limit = limit_of_environment();
  std::size_t used = 0;
  int on_device = 0;
  std::map<std::byte*, std::size_t> allocations;  // device
  std::map<std::byte*, std::size_t> pinned;
};
Memory& memory() {
  static Memory state;
  return state;
}

struct sigaction earlier_action;  // what a fault elsewhere is passed on to

void fault(int signal, siginfo_t* info, void* context) {
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  const Memory& state = memory();
  if (state.base != nullptr && at >= state.base && at < state.base + kReserved) {
    constexpr std::string_view kMessage =
        "cuda on host: the host touched device memory; it must copy through the stream\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage.data(), kMessage.size());
    std::abort();
  }
  if ((earlier_action.sa_flags & SA_SIGINFO) != 0 && earlier_action.sa_sigaction != nullptr)
    return earlier_action.sa_sigaction(signal, info, context);
  std::signal(signal, SIG_DFL);
}

void reserve() {
  Memory& state = memory();
  if (state.base != nullptr) return;
  void* base = mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  state.base = static_cast<std::byte*>(base);
  struct sigaction action {};
  action.sa_sigaction = fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &earlier_action);
}

// First gap between allocations that is long enough.
std::byte* place_for(std::size_t bytes) {
  Memory& state = memory();
  std::byte* at = state.base;
  for (const auto& [begin, size] : state.allocations) {
    if (static_cast<std::size_t>(begin - at) >= bytes + kGap) return at;
    at = begin + rounded(size, kAlignment) + kGap;
  }
  return at;
}

bool inside(const std::map<std::byte*, std::size_t>& allocations, const std::byte* p, std::size_t bytes,
            bool& fits) {
  auto after = allocations.upper_bound(const_cast<std::byte*>(p));
  if (after == allocations.begin()) return false;
  const auto& [begin, size] = *std::prev(after);
  if (p >= begin + size && !(p == begin + size && bytes == 0)) return false;
  fits = p + bytes <= begin + size;
  return true;
}

}  // namespace

void* allocate_device(std::size_t bytes) {
  reserve();
  Memory& state = memory();
  if (state.used + bytes > state.limit) return nullptr;
  std::byte* at = place_for(bytes);
  const std::size_t end = rounded(static_cast<std::size_t>(at - state.base) + bytes + kGap, kPage);
  if (end > kReserved) return nullptr;
  const OnDevice touching;
  if (end > state.reach) {
    mprotect(state.base + state.reach, end - state.reach, PROT_READ | PROT_WRITE);
    ASAN_POISON_MEMORY_REGION(state.base + state.reach, end - state.reach);
    state.reach = end;
  }
  ASAN_UNPOISON_MEMORY_REGION(at, bytes);
  std::memset(at, 0xff, bytes);
  state.allocations[at] = bytes;
  state.used += bytes;
  return at;
}

bool release_device(void* p) {
  Memory& state = memory();
  const auto found = state.allocations.find(static_cast<std::byte*>(p));
  if (found == state.allocations.end()) return false;
  ASAN_POISON_MEMORY_REGION(found->first, found->second);
  state.used -= found->second;
  state.allocations.erase(found);
  return true;
}

void* allocate_pinned(std::size_t bytes) {
  void* p = nullptr;
  if (posix_memalign(&p, kPage, bytes > 0 ? bytes : 1) != 0) return nullptr;
  std::memset(p, 0xff, bytes);
  memory().pinned[static_cast<std::byte*>(p)] = bytes;
  return p;
}

bool release_pinned(void* p) {
  if (memory().pinned.erase(static_cast<std::byte*>(p)) == 0) return false;
  std::free(p);
  return true;
}

bool find_owner(const void* p, std::size_t bytes, Owner& owner) {
  const auto* at = static_cast<const std::byte*>(p);
  bool fits = true;
  owner = inside(memory().allocations, at, bytes, fits) ? Owner::device
          : inside(memory().pinned, at, bytes, fits)    ? Owner::pinned
                                                        : Owner::host;
  return fits;
}

void set_device_memory(std::size_t bytes) {
  memory().limit = bytes;
}
std::size_t device_memory() {
  return memory().limit;
}
std::size_t device_memory_used() {
  return memory().used;
}

OnDevice::OnDevice() {
  Memory& state = memory();
  if (state.on_device++ == 0 && state.reach > 0) mprotect(state.base, state.reach, PROT_READ | PROT_WRITE);
}
OnDevice::~OnDevice() {
  Memory& state = memory();
  if (--state.on_device == 0 && state.reach > 0) mprotect(state.base, state.reach, PROT_NONE);
}

}  // namespace switchyard::cuda_on_host
