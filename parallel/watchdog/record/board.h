// What the ranks of a run publish about themselves: plain atomics in memory that the ranks of a host share.
// Each rank writes its own status and ring; those of other hosts are written by the side channel. Nothing
// here calls MPI once the board is open.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "parallel/watchdog/record/events.h"

namespace switchyard::parallel {

enum class Life : std::uint64_t {
  runs,
  finished,  ///< MPI is closed; the process may end
  failing,   ///< has an error of its own to tell, and ends all ranks
  gone,      ///< its process ended without either; said by a rank of its host
};

/// How long a step's own work took, waiting for others left out.
struct StepTime {
  std::atomic<std::int64_t> step{0};
  std::atomic<std::int64_t> busy_ns{0};
};

struct RankStatus {
  static constexpr std::size_t kStepTimes = 64;
  std::atomic<std::uint64_t> life{0};       ///< Life
  std::atomic<std::int64_t> exit_code{0};   ///< with Life::failing
  std::atomic<std::int64_t> end_signal{0};  ///< what ended the process, if its guardian saw it
  std::atomic<std::uint64_t> beats{0};      ///< of the rank's watcher
  std::atomic<std::uint64_t> activity{0};   ///< grows while the process uses the processor, waits left out
  std::atomic<std::uint64_t> recorded{0};   ///< its flight record is written
  SharedEvent current;
  std::array<StepTime, kStepTimes> steps;  ///< entry of a step: step % kStepTimes
};

enum class Fate : std::uint64_t { none, hung, dead };

/// Who was found to be at fault, and by whom. One for each host; the first to claim it writes it.
struct SharedVerdict {
  std::atomic<std::uint64_t> claimed{0};
  std::atomic<std::uint64_t> fate{0};  ///< Fate; set last
  std::atomic<std::int64_t> rank{-1};
  std::atomic<std::int64_t> exit_code{0};
  std::array<std::atomic<std::uint64_t>, 64> reason;  ///< 512 bytes of text
  std::atomic<std::uint64_t> told{0};                 ///< a rank of this host has printed it, or is about to
  std::atomic<std::uint64_t> printed{0};
};

struct BoardHeader {
  std::uint64_t magic = 0;
  std::int64_t ranks = 0;
  std::int64_t rings = 0;
  SharedVerdict verdict;
};

/// A mapping of the memory. Its own process's view; unmapped with the object.
class Board {
 public:
  /// Makes memory for `ranks` statuses and `rings` rings under a random name, readable by this user only.
  /// Throws DeviceError. The maker unlinks the name once all have opened it.
  static std::unique_ptr<Board> make(std::int64_t ranks, std::int64_t rings, std::string& name);
  static std::unique_ptr<Board> open(const std::string& name, std::int64_t ranks, std::int64_t rings);
  /// From a descriptor, which it takes over and closes if it is no board: then nullptr. The sizes are read
  /// from the memory.
  static std::unique_ptr<Board> adopt(int descriptor);
  static void unlink(const std::string& name);
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  std::int64_t ranks() const { return header().ranks; }
  BoardHeader& header() const { return *static_cast<BoardHeader*>(memory_); }
  SharedVerdict& verdict() const { return header().verdict; }
  RankStatus& status(std::int64_t rank) const;
  /// Of the host's n-th rank.
  EventRing& ring(std::int64_t index) const;
  int descriptor() const { return descriptor_; }

 private:
  Board(int descriptor, void* memory, std::size_t bytes)
      : descriptor_(descriptor), memory_(memory), bytes_(bytes) {}
  static std::size_t bytes_for(std::int64_t ranks, std::int64_t rings);
  /// Takes the descriptor over; nullptr, and errno, if the memory cannot be mapped.
  static std::unique_ptr<Board> map(int descriptor, std::int64_t ranks, std::int64_t rings);

  int descriptor_;
  void* memory_;
  std::size_t bytes_;
};

/// Writes a verdict unless one is there. Returns whether this call wrote it.
bool claim_verdict(SharedVerdict& verdict, Fate fate, std::int64_t rank, int exit_code,
                   const std::string& reason);
std::string verdict_reason(const SharedVerdict& verdict);

}  // namespace switchyard::parallel
