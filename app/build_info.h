// What this binary was built from and with.
#pragma once

#include <string_view>

namespace switchyard::app {

struct BuildInfo {
  std::string_view version;   ///< "0.1.0"
  std::string_view commit;    ///< abbreviated git commit, or "unknown" outside a checkout
  std::string_view compiler;  ///< "GNU 12.2.0"
  std::string_view mode;      ///< CMake build type
  std::string_view mpi;       ///< MPI standard and library found at build time
  std::string_view hdf5;
  std::string_view cuda;  ///< "absent" without the CUDA back end
};

const BuildInfo& build_info();

}  // namespace switchyard::app
