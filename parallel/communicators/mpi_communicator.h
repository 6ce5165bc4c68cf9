// The Communicator over one MPI communicator. Part of mpi.h's implementation: only files of this room see
// MPI.
#pragma once

#include <mpi.h>

#include <utility>

#include "parallel/communicators/mpi.h"
#include "parallel/communicators/mpi_messages.h"

namespace switchyard::parallel {

/// Owns an MPI communicator, freed unless MPI has been closed or an exception ends the rank (peers may be
/// gone).
class MpiHandle {
 public:
  MpiHandle() = default;
  explicit MpiHandle(MPI_Comm comm);
  ~MpiHandle();
  MpiHandle(MpiHandle&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}
  MpiHandle& operator=(MpiHandle&& other) noexcept {
    std::swap(comm_, other.comm_);
    return *this;
  }
  MPI_Comm get() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

/// Collective over `comm`, which it owns.
std::unique_ptr<Communicator> make_mpi_communicator(MpiHandle comm, std::string name,
                                                    const MpiOptions& options);

}  // namespace switchyard::parallel
