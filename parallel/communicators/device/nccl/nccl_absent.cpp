// Stands in for nccl.cpp where the program is built without NCCL.
#include "kernels/runtime/error.h"
#include "parallel/communicators/device/nccl/nccl_calls.h"

namespace switchyard::parallel {

std::unique_ptr<NcclCalls> make_nccl_calls(kernels::DeviceQueue&) {
  throw DeviceError(
      "nccl: this program was built without NCCL; set run.device: cpu, or build the `cuda` preset");
}

std::string nccl_version() {
  return {};
}

}  // namespace switchyard::parallel
