// Speed of products and attention in fp32 and bf16, as shares of this machine's measured peaks and of other
// libraries' fp32 speed on the same shapes and threads. Usage: products_bench [threads] [part of a name...]
// Names begin with fp32 or bf16.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/grouped_linear.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/peak.h"
#include "kernels/runtime/random.h"
#include "tests/bench/opponents.h"

namespace switchyard::bench {
namespace {

using kernels::Tensor;

// Least of the times of one call, over a tenth of a second and at least five calls. The least, because
// everything else a machine does can only add to it.
double least_seconds(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  call();
  double least = 1e9, total = 0;
  for (int calls = 0; calls < 5 || total < 0.1; ++calls) {
    const auto start = Clock::now();
    call();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    least = std::min(least, seconds);
    total += seconds;
  }
  return least;
}

Tensor random_tensor(kernels::Context& context, DType dtype, Shape shape, const char* name) {
  Tensor wide(DType::f32, shape);
  kernels::fill_normal(wide, kernels::RandomStream(1, name), 0, 1.0);
  if (dtype == DType::f32) return wide;
  Tensor tensor(dtype, shape);
  kernels::convert(context, tensor, wide);
  return tensor;
}

struct Gradient {
  explicit Gradient(Shape shape) : sums(DType::i64, shape), overflow(DType::i64, {1}) {}
  kernels::GradientSum view() const { return {sums, overflow, kernels::gradient_limit(1 << 20)}; }
  Tensor sums, overflow;
};

class Bench {
 public:
  Bench(int threads, std::vector<std::string> wanted)
      : context_(threads), wanted_(std::move(wanted)), opponents_(opponents(threads)) {
    for (const DType dtype : {DType::f32, DType::bf16})
      peaks_.push_back(kernels::measured_peak_flops(context_, dtype));
    fmt::print("{} threads, {}; measured peak {:.1f} GFLOP/s in fp32, {:.1f} in bf16\n", threads,
               isa_name(context_.isa()), peaks_[0] / 1e9, peaks_[1] / 1e9);
    fmt::print("{:49}  GFLOP/s  of peak", "");
    for (const auto& opponent : opponents_) fmt::print("  vs {:8}", opponent->name());
    fmt::print("\n");
  }

  /// What the calls below use.
  void set_dtype(DType dtype) { A_ = dtype; }

  void linear(std::int64_t N, std::int64_t O, std::int64_t I) {
    const std::string shape = fmt::format("N={} (O,I)=({},{})", N, O, I);
    if (!is_wanted("linear", shape)) return;
    const Tensor x = random_tensor(context_, A_, {N, I}, "x"),
                 weight = random_tensor(context_, A_, {O, I}, "w"),
                 dy = random_tensor(context_, A_, {N, O}, "dy");
    Tensor y(A_, {N, O}), dx(A_, {N, I}), dweight(DType::f32, {O, I});
    const Gradient gradient({O, I});
    const double flops = 2.0 * static_cast<double>(N * O * I);
    report(
        "linear forward  " + shape, flops, [&] { linear_forward(context_, y, x, weight, {}); },
        [&](Opponent& o) {
          o.run({N, O, I, false, true, false}, x.data<float>(), weight.data<float>(), y.data<float>());
        });
    report(
        "linear data     " + shape, flops,
        [&] { linear_backward_data(context_, dx, dy, weight, kernels::Write::overwrite); },
        [&](Opponent& o) {
          o.run({N, I, O, false, false, false}, dy.data<float>(), weight.data<float>(), dx.data<float>());
        });
    report(
        "linear weight   " + shape, flops, [&] { linear_backward_weight(context_, gradient.view(), dy, x); },
        [&](Opponent& o) {
          o.run({O, I, N, true, false, true}, dy.data<float>(), x.data<float>(), dweight.data<float>());
        });
  }

  void grouped(const std::vector<std::int64_t>& rows, std::int64_t O, std::int64_t I) {
    const auto experts = static_cast<std::int64_t>(rows.size());
    std::int64_t M = 0;
    Tensor segments(DType::i32, {experts, 3});
    for (std::int64_t e = 0; e < experts; ++e) {
      auto* entry = segments.data<std::int32_t>() + 3 * e;
      entry[0] = static_cast<std::int32_t>(e);
      entry[1] = static_cast<std::int32_t>(M);
      entry[2] = static_cast<std::int32_t>(rows[static_cast<std::size_t>(e)]);
      M += entry[2];
    }
    const std::string shape =
        fmt::format("{}x{}..{} (O,I)=({},{})", experts, rows.front(), rows.back(), O, I);
    if (!is_wanted("grouped", shape)) return;
    const Tensor x = random_tensor(context_, A_, {M, I}, "x"),
                 weight = random_tensor(context_, A_, {experts, O, I}, "w"),
                 dy = random_tensor(context_, A_, {M, O}, "dy");
    Tensor y(A_, {M, O}), dx(A_, {M, I}), dweight(DType::f32, {experts, O, I});
    const Gradient gradient({experts, O, I});
    const auto each = [&](const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& body) {
      for (std::int64_t e = 0; e < experts; ++e) {
        const auto* entry = segments.data<std::int32_t>() + 3 * e;
        body(entry[1], entry[2], e * O * I);
      }
    };
    const double flops = 2.0 * static_cast<double>(M * O * I);
    report(
        "grouped forward " + shape, flops, [&] { grouped_linear_forward(context_, y, x, weight, segments); },
        [&](Opponent& o) {
          each([&](std::int64_t first, std::int64_t count, std::int64_t at) {
            o.run({count, O, I, false, true, false}, x.data<float>() + first * I, weight.data<float>() + at,
                  y.data<float>() + first * O);
          });
        });
    report(
        "grouped data    " + shape, flops,
        [&] { grouped_linear_backward_data(context_, dx, dy, weight, segments); },
        [&](Opponent& o) {
          each([&](std::int64_t first, std::int64_t count, std::int64_t at) {
            o.run({count, I, O, false, false, false}, dy.data<float>() + first * O, weight.data<float>() + at,
                  dx.data<float>() + first * I);
          });
        });
    report(
        "grouped weight  " + shape, flops,
        [&] { grouped_linear_backward_weight(context_, gradient.view(), dy, x, segments); },
        [&](Opponent& o) {
          each([&](std::int64_t first, std::int64_t count, std::int64_t at) {
            o.run({O, I, count, true, false, true}, dy.data<float>() + first * O, x.data<float>() + first * I,
                  dweight.data<float>() + at);
          });
        });
  }

  void attention(std::int64_t B, std::int64_t T, std::int64_t H, std::int64_t G, std::int64_t D) {
    const std::string shape = fmt::format("B={} T={} H={} G={} D={}", B, T, H, G, D);
    if (!is_wanted("attention", shape)) return;
    const Tensor q = random_tensor(context_, A_, {B, T, H, D}, "q"),
                 k = random_tensor(context_, A_, {B, T, G, D}, "k"),
                 v = random_tensor(context_, A_, {B, T, G, D}, "v"),
                 dy = random_tensor(context_, A_, {B, T, H, D}, "dy");
    Tensor y(A_, {B, T, H, D}), lse(DType::f32, {B, H, T}), dq(A_, {B, T, H, D}), dk(A_, {B, T, G, D}),
        dv(A_, {B, T, G, D});
    const double pairs = static_cast<double>(B * H) * static_cast<double>(T * (T + 1) / 2);
    const auto width = static_cast<double>(D);
    report(
        "attention forward  " + shape, 4 * width * pairs,
        [&] { attention_forward(context_, y, lse, q, k, v, 0.125F); }, nullptr);
    report(
        "attention backward " + shape, 10 * width * pairs,
        [&] { attention_backward(context_, dq, dk, dv, dy, q, k, v, y, lse, 0.125F); }, nullptr);
  }

 private:
  const char* precision() const { return A_ == DType::f32 ? "fp32" : "bf16"; }

  bool is_wanted(const char* kind, const std::string& shape) const {
    const std::string name = fmt::format("{} {} {}", precision(), kind, shape);
    return wanted_.empty() || std::any_of(wanted_.begin(), wanted_.end(), [&](const std::string& part) {
             return name.find(part) != std::string::npos;
           });
  }

  void report(const std::string& name, double flops, const std::function<void()>& ours,
              const std::function<void(Opponent&)>& theirs) {
    const double seconds = least_seconds(ours);
    const double peak = peaks_[A_ == DType::f32 ? 0 : 1];
    fmt::print("{} {:44}  {:7.1f}  {:6.1f}%", precision(), name, flops / seconds / 1e9,
               100 * flops / seconds / peak);
    if (theirs && A_ == DType::f32)
      for (const auto& opponent : opponents_)
        fmt::print("  {:11.2f}", least_seconds([&] { theirs(*opponent); }) / seconds);
    fmt::print("\n");
    std::fflush(stdout);
  }

  kernels::Context context_;
  std::vector<std::string> wanted_;
  std::vector<std::unique_ptr<Opponent>> opponents_;
  std::vector<double> peaks_;
  DType A_ = DType::f32;
};

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads < 1) {
    fmt::print(stderr, "usage: products_bench [threads] [part of a name...]\n");
    return 2;
  }
  switchyard::bench::Bench bench(threads, {argv + std::min(argc, 2), argv + argc});
  for (const switchyard::DType dtype : {switchyard::DType::f32, switchyard::DType::bf16}) {
    bench.set_dtype(dtype);
    for (const std::int64_t N : {64, 512, 1024, 4096})
      for (const auto& [O, I] : {std::pair{384, 384},
                                 {640, 384},
                                 {1536, 384},
                                 {3072, 384},
                                 {384, 1536},
                                 {257, 256},
                                 {8192, 384},
                                 {512, 512},
                                 {1024, 512},
                                 {8192, 512}})
        bench.linear(N, O, I);
    for (const auto& rows : {std::vector<std::int64_t>(8, 64), std::vector<std::int64_t>(8, 1024),
                             std::vector<std::int64_t>(32, 512),
                             std::vector<std::int64_t>{256, 1024, 384, 640, 512, 896, 300, 768}})
      for (const auto& [O, I] : {std::pair{1536, 384}, {384, 768}, {512, 512}, {512, 256}})
        bench.grouped(rows, O, I);
    for (const std::int64_t T : {512, 1024, 4096}) {
      bench.attention(4096 / T, T, 6, 2, 64);
      bench.attention(4096 / T, T, 8, 4, 64);
    }
  }
}
