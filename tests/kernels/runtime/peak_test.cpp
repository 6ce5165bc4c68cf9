#include "kernels/runtime/peak.h"

#include <gtest/gtest.h>

namespace switchyard::kernels {
namespace {

TEST(Peak, IsASpeedThatAProcessorCanHave) {
  for (const Isa isa : available_isas()) {
    Context context(1, isa);
    const double flops = measured_peak_flops(context);
    EXPECT_GT(flops, 1e7) << isa_name(isa);
    EXPECT_LT(flops, 1e12) << isa_name(isa) << ": more than one core can do; was the loop removed?";
  }
}

}  // namespace
}  // namespace switchyard::kernels
