// One flipped bit, in each kind of state, on each rank of several layouts: found, and the right rank named.
#include "app/guard/parity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <mutex>
#include <set>

#include "app/config/config.h"
#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::app {
namespace {

using testing::HasSubstr;

struct Rank {
  Rank(parallel::Communicator& world, int expert_axis, DType activation)
      : mesh(world, expert_axis, 4),
        model(context, config(activation), mesh, {4, 16, 16, 0}, 7),
        optimizer(model, mesh, {}, 4),
        parity(world, model, optimizer) {}
  static moe::ModelConfig config(DType activation) {
    moe::ModelConfig model = default_config().model;
    model.activation = activation;
    model.vocab_size = 64;
    model.layers = 1;
    model.width = 16;
    model.heads = 2;
    model.kv_heads = 1;
    model.max_sequence_length = 16;
    model.moe.experts = 4;
    model.moe.expert_width = {8};
    model.moe.bias_balancing = true;
    return model;
  }
  kernels::Context context{1};
  parallel::Mesh mesh;
  moe::Model model;
  moe::Optimizer optimizer;
  Parity parity;
};

void flip(void* data, std::int64_t element, int bit) {
  auto* words = static_cast<std::uint32_t*>(data);
  words[element] ^= std::uint32_t{1} << bit;
}

/// A bit in the middle of a slice, whatever its dtype.
void flip(const moe::StateSlice& slice, int bit) {
  const std::int64_t bytes = (slice.end - slice.begin) * static_cast<std::int64_t>(dtype_size(slice.dtype));
  static_cast<std::uint8_t*>(slice.data)[bytes / 2] ^= static_cast<std::uint8_t>(1U << (bit % 8));
}

/// What check() says on all ranks, which must be one text; empty if it is content. `spoil` runs on each rank,
/// after remember() where `remembers`.
std::string verdict(int ranks, int expert_axis, bool remembers, const std::function<void(Rank&, int)>& spoil,
                    DType activation = DType::f32) {
  std::mutex mutex;
  std::set<std::string> texts;
  parallel::run_local(ranks, [&](parallel::Communicator& world) {
    Rank rank(world, expert_axis, activation);
    if (remembers) rank.parity.remember();
    spoil(rank, world.rank());
    std::string text;
    try {
      rank.parity.check(20, 10);
    } catch (const DeviceError& error) {
      text = error.what();
    }
    const std::lock_guard lock(mutex);
    texts.insert(text);
  });
  EXPECT_EQ(texts.size(), 1U);
  return *texts.begin();
}

TEST(Parity, IsContentWithSoundMemory) {
  for (const auto& [ranks, axis] : {std::pair{1, 1}, {2, 1}, {2, 2}, {3, 1}, {4, 2}})
    for (const bool remembers : {false, true})
      EXPECT_EQ(verdict(ranks, axis, remembers, [](Rank&, int) {}), "") << ranks << "x" << axis;
}

class ParityOf : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Activation, ParityOf, testing::Values(DType::f32, DType::bf16),
                         [](const auto& suite) { return std::string(dtype_name(suite.param)); });

TEST_P(ParityOf, NamesTheRankWhoseMemoryChangedOnAnyLayout) {
  for (const auto& [ranks, axis] : {std::pair{1, 1}, {2, 1}, {2, 2}, {4, 2}})
    for (int victim = 0; victim < ranks; ++victim) {
      const std::string name = "rank " + std::to_string(victim) + " on ";
      std::size_t slices = 0;
      verdict(
          ranks, axis, true,
          [&](Rank& rank, int self) {
            if (self == victim) slices = rank.optimizer.resting_state().size();
          },
          GetParam());
      ASSERT_GT(slices, 10U);
      // Weights, moments and biases, whoever owns them.
      for (std::size_t slice = 0; slice < slices; slice += 5) {
        std::string tensor;
        const std::string text = verdict(
            ranks, axis, true,
            [&](Rank& rank, int self) {
              if (self != victim) return;
              const moe::StateSlice target = rank.optimizer.resting_state()[slice];
              tensor = target.name;
              flip(target, static_cast<int>(slice));
            },
            GetParam());
        EXPECT_THAT(text, HasSubstr("at step 20: " + name)) << ranks << "x" << axis;
        EXPECT_THAT(text, HasSubstr(" of " + tensor + " changed in its memory"));
        EXPECT_THAT(text, HasSubstr("Checkpoints up to step 10 are beyond doubt"));
      }
    }
}

TEST(Parity, AMajorityNamesTheOddRankEvenIfItOwnsTheShard) {
  for (const int ranks : {3, 4})
    for (int victim = 0; victim < ranks; ++victim)
      for (const double where : {0.0, 0.5, 0.99}) {
        const std::string text = verdict(ranks, 1, false, [&](Rank& rank, int self) {
          auto& group = rank.model.experts();
          const auto& parameter = group.parameters().front();
          if (self == victim)
            flip(parameter.weight.raw(),
                 static_cast<std::int64_t>(where * static_cast<double>(parameter.elements())), 3);
        });
        EXPECT_THAT(text, HasSubstr("at step 20: rank " + std::to_string(victim) + " on ")) << text;
        EXPECT_THAT(text, HasSubstr("differ from those of the other ranks"));
      }
}

TEST(Parity, OfTwoRanksTheOwnerIsRight) {
  for (const int victim : {0, 1}) {
    const std::string text = verdict(2, 1, false, [&](Rank& rank, int self) {
      if (self != victim) return;
      auto& group = rank.model.dense();
      const auto theirs = group.layout().pieces(1 - victim);  // what the other one owns
      flip(group.weights().raw(), theirs.front().flat_begin, 30);
    });
    EXPECT_THAT(text, HasSubstr("at step 20: rank " + std::to_string(victim) + " on ")) << text;
  }
}

TEST(Parity, NamesARankWithAnotherBalancingBias) {
  const std::string text = verdict(4, 2, false, [&](Rank& rank, int self) {
    if (self == 2) flip(rank.model.balancing_biases().front().raw(), 1, 22);
  });
  EXPECT_THAT(text, HasSubstr("rank 2 on "));
  EXPECT_THAT(text, HasSubstr("layers.0.moe.router.bias"));
}

}  // namespace
}  // namespace switchyard::app
