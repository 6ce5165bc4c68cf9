// Grouped expert products at the size of a fine-grained MoE, beside what cuBLASLt does with one large dense
// product and what the device copies: gpu_products_bench [tokens] (default 32768). Prints one line for each,
// best of 10.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <vector>

#include "kernels/ops/grouped_linear.h"
#include "kernels/runtime/context.h"
#include "kernels/runtime/random.h"

namespace {

using namespace switchyard;           // NOLINT: a program of its own
using namespace switchyard::kernels;  // NOLINT

double best_seconds(Context& context, const std::function<void()>& work) {
  double best = 1e9;
  for (int repeat = 0; repeat < 12; ++repeat) {
    context.queue()->wait();
    const auto begin = std::chrono::steady_clock::now();
    work();
    context.queue()->wait();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (repeat >= 2) best = std::min(best, taken.count());
  }
  return best;
}

void line(const char* what, double flops, double seconds) {
  fmt::print("{:44} {:9.3f} ms {:8.1f} TFLOP/s\n", what, seconds * 1e3, flops / seconds * 1e-12);
}

// Normal values on the device: zeros would draw less power than real ones and run at higher clocks.
Tensor random_tensor(Context& context, Shape shape, const char* name) {
  Tensor out(DType::bf16, shape, Device::cuda);
  const std::int64_t count = std::min<std::int64_t>(shape.elements(), std::int64_t{1} << 22);
  Tensor values(DType::f32, {count});
  fill_normal(values, RandomStream(1, name), 0, 0.02);
  auto* pinned = static_cast<BFloat16*>(allocate_pinned_memory(static_cast<std::size_t>(count) * 2));
  for (std::int64_t i = 0; i < count; ++i) pinned[i] = BFloat16(values.data<float>()[i]);
  for (std::int64_t at = 0; at < shape.elements(); at += count)
    context.queue()->copy_to_device(out.data<BFloat16>() + at, pinned,
                                    static_cast<std::size_t>(std::min(count, shape.elements() - at)) * 2);
  context.queue()->wait();
  release_pinned_memory(pinned);
  return out;
}

// Rows of E experts: all alike, or falling from the first to the last as a power.
Tensor segments(Context& context, std::int64_t rows, std::int64_t experts, bool balanced) {
  std::vector<double> share;
  double total = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    share.push_back(balanced ? 1.0 : 1.0 / static_cast<double>(e + 10));
    total += share.back();
  }
  auto* table = static_cast<std::int32_t*>(allocate_pinned_memory(static_cast<std::size_t>(experts) * 12));
  std::int64_t first = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    const auto wanted =
        static_cast<std::int64_t>(share[static_cast<std::size_t>(e)] / total * static_cast<double>(rows));
    const std::int64_t count = e + 1 == experts ? rows - first : wanted;
    table[3 * e] = static_cast<std::int32_t>(e);
    table[3 * e + 1] = static_cast<std::int32_t>(first);
    table[3 * e + 2] = static_cast<std::int32_t>(count);
    first += count;
  }
  Tensor out(DType::i32, {experts, 3}, Device::cuda);
  context.queue()->copy_to_device(out.view().raw(), table, out.view().bytes());
  context.queue()->wait();
  release_pinned_memory(table);
  return out;
}

void grouped(Context& context, std::int64_t tokens, bool balanced) {
  constexpr std::int64_t kExperts = 128, kWidth = 2048, kInner = 768, kChoices = 8;
  const std::int64_t M = tokens * kChoices;
  const Tensor table = segments(context, M, kExperts, balanced);
  double total_flops = 0, total_seconds = 0;
  for (const auto& [name, in, out] :
       {std::tuple{"gate and up", kWidth, 2 * kInner}, {"down", kInner, kWidth}}) {
    const Tensor x = random_tensor(context, {M, in}, "x"), dy = random_tensor(context, {M, out}, "dy"),
                 weight = random_tensor(context, {kExperts, out, in}, "weight"),
                 y(DType::bf16, {M, out}, Device::cuda), dx(DType::bf16, {M, in}, Device::cuda),
                 sums(DType::i64, {kExperts, out, in}, Device::cuda), overflow(DType::i64, {1}, Device::cuda);
    const GradientSum dweight{sums, overflow, gradient_limit(1 << 20)};
    const double flops = 2.0 * static_cast<double>(M) * static_cast<double>(in) * static_cast<double>(out);
    const auto measure = [&](const char* what, const std::function<void()>& work) {
      const double seconds = best_seconds(context, work);
      line(fmt::format("{} {}, {}", name, what, balanced ? "balanced" : "uneven").c_str(), flops, seconds);
      total_flops += flops;
      total_seconds += seconds;
    };
    measure("forward", [&] { grouped_linear_forward(context, y, x, weight, table); });
    measure("data gradient", [&] { grouped_linear_backward_data(context, dx, dy, weight, table); });
    measure("weight gradient", [&] { grouped_linear_backward_weight(context, dweight, dy, x, table); });
  }
  line(balanced ? "experts forward + backward, balanced" : "experts forward + backward, uneven", total_flops,
       total_seconds);
}

void ceilings(Context& context) {
  constexpr std::int64_t kSide = 8192;
  const Tensor a = random_tensor(context, {kSide, kSide}, "a"),
               b = random_tensor(context, {kSide, kSide}, "b"), c(DType::bf16, {kSide, kSide}, Device::cuda);
  const double flops = 2.0 * kSide * kSide * kSide;
  line("cuBLASLt 8192^3", flops, best_seconds(context, [&] { linear_forward(context, c, a, b, {}); }));
  constexpr std::int64_t kBytes = std::int64_t{4} << 30;
  const Tensor from(DType::u8, {kBytes}, Device::cuda), to(DType::u8, {kBytes}, Device::cuda);
  const double seconds = best_seconds(
      context, [&] { context.queue()->copy_on_device(to.view().raw(), from.view().raw(), kBytes); });
  fmt::print("{:44} {:9.3f} ms {:8.1f} GB/s read + written\n", "copy of 4 GiB", seconds * 1e3,
             2.0 * kBytes / seconds * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::int64_t tokens = argc > 1 ? std::atoll(argv[1]) : 32768;
    Context context(1, Isa::generic, Device::cuda);
    ceilings(context);
    grouped(context, tokens, true);
    grouped(context, tokens, false);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
