// What the exchanges cost on this machine, against memcpy: mpirun -n 2 exchange_bench
// [messages or collective] [ROWS] [WIDTH] [MIB].
// Prints one line per case from rank 0; the time is that of the slowest rank, the best of several.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "kernels/runtime/buffer.h"
#include "parallel/communicators/mpi.h"
#include "parallel/exchange/row_exchange.h"

namespace switchyard::parallel {

namespace {

constexpr int kTurns = 15;

/// Seconds of the slowest rank in the best turn.
template <typename Body>
double best_seconds(Communicator& world, Body body) {
  std::int64_t best = INT64_MAX;
  for (int turn = 0; turn < kTurns; ++turn) {
    world.barrier();
    const auto start = std::chrono::steady_clock::now();
    body();
    std::int64_t nanoseconds =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start)
            .count();
    world.all_reduce_max({&nanoseconds, 1});
    best = std::min(best, nanoseconds);
  }
  return static_cast<double>(best) * 1e-9;
}

/// Bytes a second that all ranks together copy when each copies `bytes`.
double copy_rate(Communicator& world, std::int64_t bytes) {
  const kernels::Buffer from(static_cast<std::size_t>(bytes));
  const kernels::Buffer to(static_cast<std::size_t>(bytes));
  std::memset(from.data(), 1, from.bytes());
  const double seconds = best_seconds(world, [&] { std::memcpy(to.data(), from.data(), to.bytes()); });
  return static_cast<double>(bytes * world.size()) / seconds;
}

void bench_rows(Communicator& world, const char* label, std::int64_t rows, std::int64_t width,
                double copied) {
  const std::int64_t experts = 4 * world.size();
  RowExchange exchange(world, experts, 0);
  const std::vector<std::int32_t> counts(static_cast<std::size_t>(experts),
                                         static_cast<std::int32_t>(rows / experts));
  const auto plan = exchange.plan(ConstTensorView(counts.data(), DType::i32, {experts}));
  const kernels::Tensor sorted(DType::f32, {plan.own_rows(), width});
  const kernels::Tensor received(DType::f32, {plan.rows(0), width});
  std::memset(sorted.data<float>(), 1, sorted.view().bytes());
  std::memset(received.data<float>(), 1, received.view().bytes());
  const double seconds = best_seconds(world, [&] {
    exchange.dispatch(plan, 0, received, sorted);
    exchange.combine(plan, 0, sorted, received);
  });
  const double rate = 2.0 * static_cast<double>(plan.own_rows() * world.size()) / seconds;
  if (world.rank() != 0) return;
  fmt::print("rows       {:10} {} ranks: {:9.0f} rows/s of {} f32, {:5.1f} % of memcpy ({:.2f} GB/s)\n",
             label, world.size(), rate, width, 100 * rate * static_cast<double>(width) * 4 / copied,
             copied * 1e-9);
}

void bench_sums(Communicator& world, const char* label, std::int64_t bytes) {
  const std::int64_t values = bytes / 8 / world.size() * world.size();
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(world.size()), values / world.size());
  std::vector<std::int64_t> in(static_cast<std::size_t>(values), 1);
  const auto own = std::span(in).subspan(static_cast<std::size_t>(world.rank() * counts[0]),
                                         static_cast<std::size_t>(counts[0]));
  const double seconds = best_seconds(world, [&] { world.reduce_scatter(in, own, counts); });
  if (world.rank() != 0) return;
  fmt::print("sums       {:10} {} ranks: {:7.2f} ms for {} MiB of sums a rank\n", label, world.size(),
             seconds * 1e3, bytes >> 20);
}

int bench(MpiOptions::Transport transport, MpiWorld& world, std::int64_t rows, std::int64_t width,
          std::int64_t mib) {
  const char* label = transport == MpiOptions::Transport::messages ? "messages" : "collective";
  const double copied = copy_rate(world.communicator(), rows * width * 4);
  bench_rows(world.communicator(), label, rows, width, copied);
  bench_sums(world.communicator(), label, mib << 20);
  return 0;
}

}  // namespace

}  // namespace switchyard::parallel

int main(int argc, char** argv) {
  using switchyard::parallel::MpiOptions;
  using switchyard::parallel::MpiWorld;
  const std::string transport = argc > 1 ? argv[1] : "messages";
  const std::int64_t rows = argc > 2 ? std::stoll(argv[2]) : 16'384;
  const std::int64_t width = argc > 3 ? std::stoll(argv[3]) : 512;
  const std::int64_t mib = argc > 4 ? std::stoll(argv[4]) : 64;
  MpiOptions options;
  options.check_participation = false;
  if (transport == "collective") {
    options.all_to_all = options.reduce_scatter = MpiOptions::Transport::collective;
  }
  return switchyard::parallel::run_ranks(
      options,
      [&](MpiWorld& world) {
        return switchyard::parallel::bench(options.all_to_all, world, rows, width, mib);
      },
      [](const std::exception&) { return 70; });
}
