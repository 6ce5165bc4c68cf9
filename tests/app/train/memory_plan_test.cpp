// What is said when a device has too little memory: what takes it, and the keys that help, the best first.
#include "app/train/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moe/model/memory.h"

namespace switchyard::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Config small_config() {
  Config config = default_config();
  config.model.vocab_size = 257;
  config.model.moe.experts = 8;
  config.train.micro_batch = 4;
  config.data.sequence_length = 128;
  return config;
}

std::string text(const Config& config, std::size_t total_bytes) {
  return out_of_memory_text(config, 4, {3 << 20, 1 << 20, total_bytes, "full"}, 5 << 20);
}

std::size_t state_bytes(const Config& config) {
  return static_cast<std::size_t>(moe::state_memory(config.model, 4, config.parallel.expert).total());
}

TEST(OutOfMemoryText, TellsOfTheStateFirstWhereItTakesMost) {
  Config config = small_config();
  config.parallel.expert = 2;
  config.parallel.exchange_rows = 512;
  const std::string of_state =
      "start more ranks on further GPUs, which share masters and moments, and raise "
      "parallel.expert (now 2), which spreads the experts; train.precision: bf16 halves the "
      "weights";
  const std::string of_batch =
      "lower train.micro_batch (now 4) or data.sequence_length (now 128), set "
      "train.recompute: block, bound parallel.exchange_rows (now 512)";
  EXPECT_THAT(text(config, state_bytes(config)),
              AllOf(HasSubstr("3.0 MiB were asked for, 1.0 MiB of "), HasSubstr("One rank of 4 needs\n"),
                    HasSubstr("5.0 MiB  activations and scratch so far, for 4 x 128 tokens at once"),
                    HasSubstr("each need this. " + of_state + "; or " + of_batch)));
  EXPECT_THAT(text(config, 3 * state_bytes(config)),
              HasSubstr("each need this. " + of_batch + "; or " + of_state));
}

TEST(OutOfMemoryText, LeavesOutWhatIsSoAlready) {
  Config config = small_config();
  config.train.recompute = moe::Recompute::block;
  config.model.activation = DType::bf16;
  EXPECT_THAT(text(config, 1 << 20),
              AllOf(HasSubstr("raise parallel.expert (now 1)"), Not(HasSubstr("bf16 halves")),
                    Not(HasSubstr("train.recompute")), Not(HasSubstr("exchange_rows"))))
      << "experts on one rank exchange no rows";
  config.model.moe.experts = 0;
  EXPECT_THAT(text(config, 1 << 20),
              AllOf(HasSubstr("share masters and moments; or lower"), Not(HasSubstr("parallel.expert"))));
}

}  // namespace
}  // namespace switchyard::app
