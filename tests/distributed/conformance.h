// What every Communicator must do, as cases that all ranks of a group run together: threads as ranks
// (local_conformance_test.cpp) and processes under mpirun (mpi_conformance.cpp) run the same list.
#pragma once

#include <span>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

struct ConformanceCase {
  const char* name;
  void (*run)(Communicator& world);
};

std::span<const ConformanceCase> conformance_cases();

}  // namespace switchyard::parallel
