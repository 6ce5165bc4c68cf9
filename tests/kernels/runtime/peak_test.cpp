#include "kernels/runtime/peak.h"

#include <gtest/gtest.h>

namespace switchyard::kernels {
namespace {

TEST(Peak, IsASpeedThatAProcessorCanHave) {
  for (const Isa isa : available_isas()) {
    Context context(1, isa);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const double most = dtype == DType::bf16 && isa == Isa::amx ? 1e13 : 1e12;
      const double flops = measured_peak_flops(context, dtype);
      EXPECT_GT(flops, 1e7) << isa_name(isa);
      EXPECT_LT(flops, most) << isa_name(isa) << ": more than one core can do; was the loop removed?";
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
