// A small parent beside each rank. A launcher that sees a rank's process die by a signal returns its own code
// and ends the others at once, before anyone can say what happened. The guardian stands between: it gives the
// other ranks the time to name the cause, and ends with the program's own exit code.
#pragma once

#include <cstdint>

namespace switchyard::parallel {

class Board;

/// The rank's end of the line to its guardian; none where there is none.
class GuardianLink {
 public:
  GuardianLink() = default;
  explicit GuardianLink(int socket) : socket_(socket) {}
  ~GuardianLink();
  GuardianLink(const GuardianLink&) = delete;
  GuardianLink& operator=(const GuardianLink&) = delete;
  /// From now on the guardian reports the end of this rank's process on the board.
  void show(const Board& board, std::int64_t rank) const;

 private:
  int socket_ = -1;
};

/// Where a launcher has started several ranks, forks: the child returns and is the rank; the parent passes
/// signals on, waits, and ends with the rank's exit code, or with `lost_code` if the process died. Under a
/// debugger and for one rank it does nothing. Must be called while the process has one thread and before MPI.
GuardianLink start_guardian(int lost_code);

}  // namespace switchyard::parallel
