// Where op tests run in a program with the CUDA back end: on the device, each kernel done when its launch
// returns, so that the tests' own memory can be read and written in between.
#include <cstdlib>

#include "tests/support/op_test.h"

namespace switchyard::test {

std::vector<CpuLevel> all_cpu_levels() {
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  return {{kernels::Isa::generic, 1, Device::cuda}};
}

std::vector<CpuLevel> all_bf16_levels() {
  return all_cpu_levels();
}

std::string cpu_level_name(const testing::TestParamInfo<CpuLevel>&) {
  return "cuda";
}

}  // namespace switchyard::test
