// Products of bf16 in registers only, on the unit this file is compiled for.
#include "kernels/runtime/peak.h"

#include "kernels/cpu/products/bf16/unit.h"

namespace switchyard::kernels {

template <>
double Peak<kUnitBackend>::run(Context& context, std::int64_t pieces, std::int64_t rounds) {
  double flops = 0;
  with_unit([&]<typename Unit>() {
    float used[64] = {};  // results go somewhere, so that the work is not removed
    context.threads().run_on_workers(pieces, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
      for (std::int64_t piece = begin; piece < end; ++piece) {
        float result = Unit::rounds_in_registers(rounds);  // the builtin takes no address of a constant
        __atomic_store(&used[worker % 64], &result, __ATOMIC_RELAXED);
      }
    });
    flops = Unit::kFlopsOfRound;
  });
  return flops;
}

}  // namespace switchyard::kernels
