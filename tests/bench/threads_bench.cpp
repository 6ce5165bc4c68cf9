// Cost of handing work to the crew: an empty body, called back to back and after a pause.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels/runtime/threads.h"

namespace {

using Clock = std::chrono::steady_clock;

double median_microseconds(switchyard::kernels::Threads& threads, std::chrono::microseconds pause) {
  std::vector<double> times;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    const auto resume = Clock::now() + pause;
    while (Clock::now() < resume) {
    }
    const auto start = Clock::now();
    threads.run(threads.count(), 1, [](std::int64_t, std::int64_t) {});
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + 1000, times.end());
  return times[1000];
}

}  // namespace

int main() {
  fmt::print("threads  pause_us  run_us (median)\n");
  for (const int count : {1, 2, switchyard::kernels::available_cores()}) {
    switchyard::kernels::Threads threads(count);
    for (const int pause : {0, 5, 20, 200})
      fmt::print("{:7}  {:8}  {:.2f}\n", count, pause,
                 median_microseconds(threads, std::chrono::microseconds(pause)));
  }
}
