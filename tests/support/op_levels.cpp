// Where op tests run: the instruction-set levels of this machine. Test programs that run the CUDA back end
// link another file in this one's place (tests/support/cuda_on_host/op_levels.cpp).
#include "tests/support/op_test.h"

namespace switchyard::test {

std::vector<CpuLevel> all_cpu_levels() {
  std::vector<CpuLevel> levels;
  for (const kernels::Isa isa : kernels::available_isas())
    for (const int threads : {1, 2})
      if (isa <= kernels::Isa::avx512) levels.push_back({isa, threads});
  return levels;
}

std::vector<CpuLevel> all_bf16_levels() {
  std::vector<CpuLevel> levels = all_cpu_levels();
  if (kernels::detected_isa() < kernels::Isa::avx512_bf16) return levels;
  for (const kernels::Isa isa : {kernels::Isa::avx512_bf16, kernels::Isa::amx})
    for (const int threads : {1, 2}) levels.push_back({isa, threads});
  return levels;
}

std::string cpu_level_name(const testing::TestParamInfo<CpuLevel>& info) {
  return std::string(kernels::isa_name(info.param.isa)) + "_" + std::to_string(info.param.threads) +
         "threads";
}

}  // namespace switchyard::test
