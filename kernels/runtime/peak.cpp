#include "kernels/runtime/peak.h"

#include <algorithm>
#include <chrono>

namespace switchyard::kernels {

namespace {
template <Backend kBackend>
double measure(Context& context) {
  using Clock = std::chrono::steady_clock;
  constexpr double kSecondsOfRun = 0.003;  // short ones, so that some fall between other work of the machine
  constexpr int kRuns = 15;
  constexpr std::int64_t kPiecesOfThread = 16;  // so that a thread that wakes late costs little
  const std::int64_t pieces = kPiecesOfThread * context.threads().count();
  std::int64_t rounds = 1;  // found by doubling, whatever the speed
  double best = 0;
  for (int run = 0; run < kRuns;) {
    const auto start = Clock::now();
    const double flops = Peak<kBackend>::run(context, pieces, rounds);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (seconds < kSecondsOfRun / 2) {
      rounds *= 2;
      continue;
    }
    best = std::max(best, flops * static_cast<double>(pieces) * static_cast<double>(rounds) / seconds);
    ++run;
  }
  return best;
}
}  // namespace

double measured_peak_flops(Context& context, DType dtype) {
  double flops = 0;
  if (dtype == DType::bf16 && context.device() == Device::cpu && context.isa() >= Isa::avx512_bf16)
    return context.isa() == Isa::amx ? measure<Backend::amx>(context)
                                     : measure<Backend::avx512_bf16>(context);
  with_backend(context, [&](auto backend) { flops = measure<backend()>(context); });
  return flops;
}

}  // namespace switchyard::kernels
