// The formulas of parallel/README.md against the communicators' own counters, to the byte.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/runtime/buffer.h"
#include "parallel/communicators/local.h"
#include "parallel/exchange/row_exchange.h"
#include "parallel/mesh/mesh.h"
#include "parallel/sums/agreement.h"
#include "parallel/sums/exact_sums.h"

namespace switchyard::parallel {

namespace {

constexpr std::int64_t kExperts = 12;
constexpr std::int64_t kLayers = 2;
constexpr std::int64_t kMicroSteps = 3;
constexpr std::int64_t kWidth = 5;
constexpr std::int64_t kRowBytes = kWidth * 4;

/// Rows that rank `rank` routes to `expert`: uneven, some none.
std::int64_t routed(std::int64_t micro_step, int rank, std::int64_t expert) {
  const std::int64_t rows = (expert * 31 + rank * 17 + micro_step * 7) % 13;
  return rows < 4 ? 0 : rows * 40;
}

void exchange_rows(RowExchange& exchange, std::int64_t micro_step, int world_rank) {
  std::vector<std::int32_t> counts;
  for (std::int64_t e = 0; e < kExperts; ++e) {
    counts.push_back(static_cast<std::int32_t>(routed(micro_step, world_rank, e)));
  }
  const auto plan = exchange.plan(ConstTensorView(counts.data(), DType::i32, {kExperts}));
  const kernels::Tensor sorted(DType::f32, {plan.own_rows(), kWidth});
  const kernels::Tensor buffer(DType::f32, {plan.largest_round(), kWidth});
  for (int pass = 0; pass < 2; ++pass) {  // forward: x out, y back; backward: dy out, dx back
    for (int round = 0; round < plan.rounds(); ++round) {
      const TensorView received = exchange.received(plan, round, sorted, buffer);
      exchange.dispatch(plan, round, received, sorted);
      exchange.combine(plan, round, sorted, received);
    }
  }
}

/// One step's communication, without the computing.
void step(Communicator& world, Mesh& mesh, ExactSums& dense, ExactSums& experts, std::int64_t max_rows) {
  RowExchange exchange(mesh.expert(), kExperts, max_rows);
  for (std::int64_t micro_step = 0; micro_step < kMicroSteps; ++micro_step) {
    for (std::int64_t layer = 0; layer < kLayers; ++layer) exchange_rows(exchange, micro_step, world.rank());
  }
  dense.start(1, 2);
  dense.finish();
  experts.finish();
  kernels::WideSum norm;
  all_reduce_wide(world, norm);
  world.all_reduce_or(false);
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < world.size(); ++r) bytes.push_back(dense.layout().shard_size(r) * 2);
  std::vector<std::byte> weights(static_cast<std::size_t>(dense.layout().flat_size() * 2));
  const auto own = std::span<const std::byte>(weights).subspan(
      static_cast<std::size_t>(dense.layout().shard_begin(world.rank()) * 2),
      static_cast<std::size_t>(dense.layout().shard_size(world.rank()) * 2));
  world.all_gather_v(own, weights, bytes);
}

void expect_sheet(Communicator& world, int expert_axis, std::int64_t max_rows) {
  Mesh mesh(world, expert_axis, kExperts);
  const std::int64_t local = kExperts / expert_axis;
  const std::vector<ShardTensor> dense_tensors{{5000}, {1024}, {77}};
  const std::vector<ShardTensor> expert_tensors{{local * 1500, local}};
  ExactSums dense(mesh.data(), dense_tensors, 1);
  ExactSums experts(mesh.replicas(), expert_tensors, 1);
  step(world, mesh, dense, experts, max_rows);

  const std::int64_t peers = expert_axis - 1;
  EXPECT_EQ(mesh.expert().traffic(Collective::all_gather).bytes,
            kMicroSteps * kLayers * 4 * kExperts * peers);
  std::int64_t rows = 0;
  for (std::int64_t m = 0; m < kMicroSteps; ++m) {
    for (std::int64_t e = 0; e < kExperts; ++e) {
      const std::int64_t home = e / local;
      if (home != mesh.expert_coordinate()) rows += routed(m, world.rank(), e);
      if (home != mesh.expert_coordinate()) continue;
      for (int peer = 0; peer < expert_axis; ++peer) {
        const int peer_rank = mesh.layout().rank_at(mesh.replica(), peer);
        if (peer != mesh.expert_coordinate()) rows += routed(m, peer_rank, e);
      }
    }
  }
  EXPECT_EQ(mesh.expert().traffic(Collective::all_to_all_v).bytes, 2 * kLayers * kRowBytes * rows);
  EXPECT_EQ(world.traffic(Collective::reduce_scatter).bytes,
            8 * (7 * 1024 - dense.layout().shard_size(world.rank())) * (world.size() > 1 ? 1 : 0));
  EXPECT_EQ(mesh.replicas().traffic(Collective::reduce_scatter).bytes,
            mesh.replicas().size() == 1
                ? 0
                : 8 * (experts.layout().flat_size() - experts.layout().shard_size(mesh.replica())));
  EXPECT_EQ(world.traffic(Collective::all_reduce).bytes, (64 + 8) * (world.size() - 1));
  EXPECT_EQ(world.traffic(Collective::all_gather_v).bytes,
            2 * dense.layout().shard_size(world.rank()) * (world.size() - 1));
}

TEST(ScalingSheet, FormulasEqualTheCounters) {
  const std::vector<std::pair<int, int>> layouts{{1, 1}, {2, 1}, {2, 2}, {3, 3},
                                                 {4, 1}, {4, 2}, {4, 4}, {6, 3}};
  for (const auto& [ranks, axis] : layouts) {
    for (const std::int64_t max_rows : {0, 300}) {
      SCOPED_TRACE(testing::Message() << ranks << " ranks, expert axis " << axis << ", bound " << max_rows);
      run_local(ranks, [&, axis = axis](Communicator& world) { expect_sheet(world, axis, max_rows); });
    }
  }
}

}  // namespace

}  // namespace switchyard::parallel
