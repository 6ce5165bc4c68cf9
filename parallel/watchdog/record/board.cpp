#include "parallel/watchdog/record/board.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "kernels/runtime/error.h"

namespace switchyard::parallel {

namespace {

constexpr std::uint64_t kMagic = 0x5359'424f'4152'4401;
constexpr std::int64_t kMostRanks = 1 << 20;
constexpr std::size_t kLine = 64;

constexpr std::size_t rounded(std::size_t bytes) {
  return (bytes + kLine - 1) / kLine * kLine;
}
constexpr std::size_t kHeaderBytes = rounded(sizeof(BoardHeader));
constexpr std::size_t kStatusBytes = rounded(sizeof(RankStatus));

[[noreturn]] void fail(const char* what) {
  throw DeviceError(
      fmt::format("watchdog: shared memory of the host must be usable; {}: {}; make room in "
                  "/dev/shm, or set watchdog.enable: false",
                  what, std::strerror(errno)));
}

// What the memory behind a descriptor has, and what its header says of it; zeros if it is no board.
struct Claim {
  std::size_t bytes = 0;
  std::int64_t ranks = 0, rings = 0;
};
Claim claim_of(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || status.st_size < static_cast<off_t>(kHeaderBytes)) return {};
  void* memory = ::mmap(nullptr, kHeaderBytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return {};
  const auto& header = *static_cast<const BoardHeader*>(memory);
  Claim claim;
  if (header.magic == kMagic) claim = {static_cast<std::size_t>(status.st_size), header.ranks, header.rings};
  ::munmap(memory, kHeaderBytes);
  return claim;
}

}  // namespace

std::size_t Board::bytes_for(std::int64_t ranks, std::int64_t rings) {
  return kHeaderBytes + static_cast<std::size_t>(ranks) * kStatusBytes +
         static_cast<std::size_t>(rings) * sizeof(EventRing);
}

std::unique_ptr<Board> Board::map(int descriptor, std::int64_t ranks, std::int64_t rings) {
  const std::size_t bytes = bytes_for(ranks, rings);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) {
    const int number = errno;
    ::close(descriptor);
    errno = number;
    return nullptr;
  }
  return std::unique_ptr<Board>(new Board(descriptor, memory, bytes));
}

std::unique_ptr<Board> Board::make(std::int64_t ranks, std::int64_t rings, std::string& name) {
  std::uint64_t random[2] = {};
  if (::getrandom(random, sizeof(random), 0) != sizeof(random)) fail("random numbers");
  name = fmt::format("/switchyard-{:016x}{:016x}", random[0], random[1]);
  const int descriptor = ::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (descriptor < 0) fail("making it");
  // Reserved, so that a full /dev/shm is an error here and not a fault at the first touch.
  errno = ::posix_fallocate(descriptor, 0, static_cast<off_t>(bytes_for(ranks, rings)));
  if (errno != 0) {
    const int number = errno;
    ::close(descriptor);
    unlink(name);
    errno = number;
    fail("reserving it");
  }
  std::unique_ptr<Board> board = map(descriptor, ranks, rings);
  if (board == nullptr) {
    unlink(name);
    fail("mapping it");
  }
  BoardHeader& header = *new (board->memory_) BoardHeader;
  header.ranks = ranks;
  header.rings = rings;
  header.magic = kMagic;
  for (std::int64_t rank = 0; rank < ranks; ++rank) new (&board->status(rank)) RankStatus;
  return board;
}

std::unique_ptr<Board> Board::open(const std::string& name, std::int64_t ranks, std::int64_t rings) {
  const int descriptor = ::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) fail("opening it");
  std::unique_ptr<Board> board = map(descriptor, ranks, rings);
  if (board == nullptr) fail("mapping it");
  return board;
}

std::unique_ptr<Board> Board::adopt(int descriptor) {
  const auto [bytes, ranks, rings] = claim_of(descriptor);
  if (ranks >= 1 && ranks <= kMostRanks && rings >= 0 && rings <= ranks && bytes >= bytes_for(ranks, rings))
    return map(descriptor, ranks, rings);
  ::close(descriptor);
  return nullptr;
}

void Board::unlink(const std::string& name) {
  ::shm_unlink(name.c_str());
}

Board::~Board() {
  ::munmap(memory_, bytes_);
  ::close(descriptor_);
}

RankStatus& Board::status(std::int64_t rank) const {
  return *reinterpret_cast<RankStatus*>(static_cast<std::byte*>(memory_) + kHeaderBytes +
                                        static_cast<std::size_t>(rank) * kStatusBytes);
}

EventRing& Board::ring(std::int64_t index) const {
  return *reinterpret_cast<EventRing*>(static_cast<std::byte*>(memory_) + bytes_for(ranks(), index));
}

bool claim_verdict(SharedVerdict& verdict, Fate fate, std::int64_t rank, int exit_code,
                   const std::string& reason) {
  if (verdict.claimed.exchange(1) != 0) return false;
  constexpr std::size_t kBytes = sizeof(verdict.reason);
  std::array<char, kBytes> text{};
  std::copy_n(reason.data(), std::min(reason.size(), kBytes - 1), text.data());
  for (std::size_t i = 0; i < verdict.reason.size(); ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + 8 * i, 8);
    verdict.reason[i].store(word, std::memory_order_relaxed);
  }
  verdict.rank.store(rank, std::memory_order_relaxed);
  verdict.exit_code.store(exit_code, std::memory_order_relaxed);
  verdict.fate.store(static_cast<std::uint64_t>(fate), std::memory_order_release);
  return true;
}

std::string verdict_reason(const SharedVerdict& verdict) {
  std::array<char, sizeof(verdict.reason)> text{};
  for (std::size_t i = 0; i < verdict.reason.size(); ++i) {
    const std::uint64_t word = verdict.reason[i].load(std::memory_order_relaxed);
    std::memcpy(text.data() + 8 * i, &word, 8);
  }
  text.back() = '\0';
  return text.data();
}

}  // namespace switchyard::parallel
