// What only the stand-in for a device can show of a whole training: orders of work that streams leave open,
// memory and waits counted, and GPUs of their own for ranks, between which NCCL's calls move everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <string>

#include "kernels/runtime/device.h"
#include "kernels/runtime/error.h"
#include "moe/model/memory.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/local.h"
#include "tests/moe/device/device_training.h"
#include "tests/parallel/device/moving_nccl.h"
#include "tests/support/cuda_on_host/control.h"

namespace switchyard::test {
namespace {

TEST(DeviceExecution, GivesTheSameBitsHoweverTheDeviceOrdersItsWork) {
  DeviceTraining training{.config = balanced_config(), .steps = 2};
  const DeviceOutcome first = train_on_device(training);
  for (const std::uint64_t seed : {1, 2}) {
    cuda_on_host::set_schedule(cuda_on_host::Order::others_first, seed);
    training.recompute = seed == 1 ? moe::Recompute::none : moe::Recompute::block;
    expect_same_bits(train_on_device(training), first);
  }
  cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, 0);
}

// Counted while all ranks are between two steps.
struct Counted {
  cuda_on_host::Counters after_first, after_all;
};
Counted counted(DeviceTraining training) {
  Counted counts;
  training.after_step = [&](int rank, std::int64_t step) {
    if (rank == 0) (step == 0 ? counts.after_first : counts.after_all) = cuda_on_host::counters();
  };
  train_on_device(training);
  return counts;
}

TEST(DeviceExecution, TakesNoMemoryAndNeverWaitsForTheWholeDeviceAfterTheFirstStep) {
  const Counted counts = counted({.config = balanced_config()});
  EXPECT_EQ(counts.after_all.device_allocations, counts.after_first.device_allocations);
  EXPECT_EQ(counts.after_all.pinned_allocations, counts.after_first.pinned_allocations);
  EXPECT_EQ(counts.after_all.device_waits, 0);
}

TEST(DeviceExecution, TheStateTakesTheMemoryOfTheFormula) {
  for (const DType activation : {DType::f32, DType::bf16}) {
    moe::ModelConfig config = balanced_config();
    config.activation = activation;
    config.width = 64;  // so that padding and tables are small beside it
    config.moe.expert_width = {256};
    const auto free_bytes = [] { return kernels::found_devices().devices.at(0).free_bytes; };
    for (const int ranks : {1, 2}) {
      parallel::run_local(ranks, [&](parallel::Communicator& world) {
        const std::size_t before = free_bytes();
        world.barrier();
        kernels::Context context(1, kernels::Isa::generic, Device::cuda);
        parallel::Mesh mesh(world, ranks, config.moe.experts);
        moe::Model model(context, config, mesh, tiny_limits(1, 5), 1);
        moe::Optimizer optimizer(model, mesh, {}, 1);
        world.barrier();
        const auto taken = static_cast<double>(before - free_bytes()) / ranks;
        const auto formula = static_cast<double>(moe::state_memory(config, ranks, ranks).total());
        EXPECT_NEAR(taken, formula, 0.1 * formula) << ranks << " ranks";
        world.barrier();
      });
    }
  }
}

class Gpus : public testing::Test {
 protected:
  void SetUp() override { cuda_on_host::set_device_count(4); }
  void TearDown() override { cuda_on_host::set_device_count(1); }
  static DeviceTraining training(int ranks, int axis) {
    return {.config = balanced_config(),
            .ranks = ranks,
            .axis = axis,
            .units = 3,
            .steps = 2,
            .place = [](int rank) { kernels::use_device(rank); },
            .nccl = [](int, kernels::DeviceQueue& queue) { return make_moving_nccl_calls(queue); }};
  }
};

TEST_F(Gpus, RanksWithAGpuEachGiveTheBitsOfOneOverNccl) {
  const DeviceOutcome expected = train_on_device(training(1, 1));
  for (const auto& [ranks, axis] : {std::pair{2, 1}, {4, 2}}) {
    const std::int64_t before = moved_collectives();
    const DeviceOutcome outcome = train_on_device(training(ranks, axis));
    EXPECT_EQ(outcome.route, parallel::DeviceRoute::nccl);
    EXPECT_GT(moved_collectives(), before);
    expect_same_bits(outcome, expected);
  }
}

// Rank 1 fails where the others wait for its rows.
TEST_F(Gpus, OtherRanksLearnFromNcclThatOneIsGone) {
  DeviceTraining failing = training(3, 3);
  failing.nccl = [](int rank, kernels::DeviceQueue& queue) {
    return make_moving_nccl_calls(queue, [rank, begun = 0]() mutable {
      if (rank == 1 && ++begun == 3) throw DataError("planted");
    });
  };
  std::mutex lock;
  std::map<int, std::string> said;
  failing.failed = [&](int rank, const std::exception& error) {
    const std::scoped_lock held(lock);
    said[rank] = error.what();
  };
  EXPECT_THROW(train_on_device(failing), DataError);
  for (const int rank : {0, 2})
    EXPECT_THAT(said[rank], testing::HasSubstr("NCCL reports that another rank failed")) << rank;
}

}  // namespace
}  // namespace switchyard::test
