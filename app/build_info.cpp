#include "app/build_info.h"

#include "switchyard_build_info.h"  // written by cmake/build_info.cmake

namespace switchyard::app {

const BuildInfo& build_info() {
  static constexpr BuildInfo info{
      SWITCHYARD_BUILD_VERSION, SWITCHYARD_BUILD_COMMIT, SWITCHYARD_BUILD_COMPILER, SWITCHYARD_BUILD_MODE,
      SWITCHYARD_BUILD_MPI,     SWITCHYARD_BUILD_HDF5,   SWITCHYARD_BUILD_CUDA};
  return info;
}

}  // namespace switchyard::app
