#include "kernels/runtime/trace.h"

namespace switchyard::kernels {

void Trace::add(std::string_view name, double seconds, double flops, double bytes) {
  for (OpCost& cost : costs_) {
    if (cost.name == name) {
      ++cost.calls;
      cost.seconds += seconds;
      cost.flops += flops;
      cost.bytes += bytes;
      return;
    }
  }
  costs_.push_back({name, 1, seconds, flops, bytes});
}

}  // namespace switchyard::kernels
