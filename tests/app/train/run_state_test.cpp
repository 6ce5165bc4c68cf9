// What a checkpoint must say for a run to go on from it, and which path means which checkpoint.
#include "app/train/run_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/train/find_checkpoint.h"
#include "app/train/run_folder.h"
#include "data/checkpoint/load/verify.h"
#include "data/checkpoint/save/attempt.h"
#include "data/io/real_io.h"
#include "data/io/recording_io.h"
#include "kernels/runtime/error.h"
#include "tests/support/workshop.h"

namespace switchyard::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

RunState sample_state() {
  RunState state;
  state.step = 12;
  state.samples = 96;
  state.updates = 11;
  state.seed = 7;
  state.sequence_length = 16;
  state.global_batch = 8;
  state.data_digest = "digest";
  state.tokenizer = "{}";
  return state;
}

Config sample_config() {
  Config config = default_config();
  config.data.train = "data";
  return config;
}

data::Manifest manifest_of(const RunState& state) {
  data::Manifest manifest;
  manifest.state = to_manifest(state, sample_config());
  return manifest;
}

TEST(RunState, RoundTripsWithAndWithoutWhatMostRunsNeverHave) {
  RunState state = sample_state();
  const data::Manifest plain = manifest_of(state);
  EXPECT_EQ(continuation_keys(plain.state),
            (std::vector<std::string>{"step", "samples", "updates", "seed", "sequence_length", "global_batch",
                                      "data_digest"}));
  EXPECT_EQ(to_manifest(from_manifest(plain), sample_config()), plain.state);
  state.skipped_batches.add(3, 5);
  state.skipped_in_a_row = 2;
  state.guard_losses = "3ff0000000000000";
  state.guard_norms = "4000000000000000";
  const data::Manifest full = manifest_of(state);
  EXPECT_EQ(continuation_keys(full.state).size(), 11U);
  EXPECT_EQ(to_manifest(from_manifest(full), sample_config()), full.state);
}

TEST(RunState, NamesTheKeyThatIsMissingOrOfTheWrongKind) {
  const data::State whole = manifest_of(sample_state()).state;
  for (const auto& [key, value] : whole) {
    if (key == "config") continue;
    const bool is_text = std::holds_alternative<std::string>(value);
    data::Manifest manifest;
    manifest.state = whole;
    manifest.state.erase(key);
    const auto rule = HasSubstr(std::string("its state must have the ") + (is_text ? "text" : "integer") +
                                " '" + key + "'");
    EXPECT_THAT([&] { from_manifest(manifest); }, ThrowsMessage<CheckpointError>(rule));
    manifest.state[key] = is_text ? data::StateValue(std::int64_t{3}) : data::StateValue("three");
    EXPECT_THAT([&] { from_manifest(manifest); }, ThrowsMessage<CheckpointError>(rule));
  }
}

TEST(RunState, TheConfigurationOfACheckpointIsText) {
  data::Manifest manifest = manifest_of(sample_state());
  EXPECT_EQ(config_from_manifest(manifest, "step-00000012").data.train, "data");
  manifest.state["config"] = std::int64_t{3};
  const auto rule = HasSubstr("step-00000012: its state must have the text 'config'");
  EXPECT_THAT([&] { config_from_manifest(manifest, "step-00000012"); }, ThrowsMessage<CheckpointError>(rule));
  manifest.state.erase("config");
  EXPECT_THAT([&] { config_from_manifest(manifest, "step-00000012"); }, ThrowsMessage<CheckpointError>(rule));
}

TEST(RunState, GoesOnOnlyWithWhatDecidesTheNumbers) {
  Config config = default_config();
  config.run.seed = 7;
  config.data.sequence_length = 16;
  config.train.global_batch = 8;
  EXPECT_NO_THROW(check_can_resume(sample_state(), config, "digest"));
  const auto refuses = [&](const std::function<void(RunState&)>& change, const std::string& key) {
    RunState state = sample_state();
    change(state);
    EXPECT_THAT(
        [&] { check_can_resume(state, config, "digest"); },
        ThrowsMessage<UserError>(AllOf(HasSubstr(key + " was "), HasSubstr("start over with --fresh"))));
  };
  refuses([](RunState& state) { state.seed = 8; }, "run.seed");
  refuses([](RunState& state) { state.sequence_length = 32; }, "data.sequence_length");
  refuses([](RunState& state) { state.global_batch = 16; }, "train.global_batch");
  refuses([](RunState& state) { state.data_digest = "other"; }, "the content of data.train");
}

TEST(LoadSlices, NameTheTensorThatTheModelNeedsAndTheCheckpointHasNot) {
  data::RecordingIo io;
  const std::vector<float> saved = {1, 2, 3, 4, 5, 6};
  const std::vector<data::TensorSlice> slices = {{"w", DType::f32, {2, 3}, 0, 6, saved.data()}};
  const auto attempt = data::begin_attempt(io, "/root", {1, "job", "nonce", 0});
  const std::vector<data::PartRecord> parts = {data::write_part(io, attempt, 0, slices)};
  const auto checkpoint = data::commit(io, attempt, {1, "run", "", {}, {}}, parts);
  kernels::Context context(1);
  std::vector<float> read(3);
  const auto load = [&](const std::string& name, DType dtype, const std::vector<std::int64_t>& shape) {
    load_slices(io, checkpoint, {{name, dtype, shape, 2, 5, read.data()}}, context);
  };
  load("w", DType::f32, {2, 3});
  EXPECT_EQ(read, (std::vector<float>{3, 4, 5}));
  EXPECT_THAT(
      [&] {
        load("v", DType::f32, {2, 3});
      },
      ThrowsMessage<CheckpointError>(HasSubstr("holds no tensor 'v' that the model needs")));
  EXPECT_THAT(
      [&] {
        load("w", DType::f32, {3, 2});
      },
      ThrowsMessage<CheckpointError>(HasSubstr("tensor 'w' is f32 [2, 3] but the model needs f32 [3, 2]")));
  EXPECT_THAT(
      [&] {
        load("w", DType::i32, {2, 3});
      },
      ThrowsMessage<CheckpointError>(HasSubstr("tensor 'w' is f32 [2, 3] but the model needs i32 [2, 3]")));
}

class FindCheckpoint : public testing::Test {
 protected:
  void save(std::int64_t step) {
    const float value = 1;
    const std::vector<data::TensorSlice> slices = {{"w", DType::f32, {1}, 0, 1, &value}};
    std::filesystem::create_directories(run().root);
    const auto attempt = data::begin_attempt(io_, run().checkpoints(), {step, "job", "nonce", 0});
    const std::vector<data::PartRecord> parts = {data::write_part(io_, attempt, 0, slices)};
    data::commit(io_, attempt, {step, "run", "", {}, {}}, parts);
  }
  std::filesystem::path checkpoint(int step) const {
    return run().checkpoints() / ("step-0000000" + std::to_string(step));
  }
  void damage(int step) const {
    std::filesystem::resize_file(checkpoint(step) / "part-00000.safetensors", 3);
  }
  RunFolder run() const { return {folder_ / "run"}; }
  test::Folder folder_;
  data::RealIo io_;
};

TEST_F(FindCheckpoint, MeansTheNewestWholeOneOfARunOrItself) {
  for (const int step : {1, 2, 3}) save(step);
  EXPECT_EQ(resolve_checkpoint(io_, run().root), checkpoint(3));
  EXPECT_EQ(resolve_checkpoint(io_, checkpoint(2)), checkpoint(2));
  damage(3);
  EXPECT_EQ(resolve_checkpoint(io_, run().root), checkpoint(2));
  EXPECT_THAT([&] { resolve_checkpoint(io_, checkpoint(3)); },
              ThrowsMessage<CheckpointError>(AllOf(HasSubstr("the file has the wrong size"),
                                                   HasSubstr("take another checkpoint of the run"))));
  damage(2);
  damage(1);
  EXPECT_THAT([&] { resolve_checkpoint(io_, run().root); },
              ThrowsMessage<CheckpointError>(HasSubstr("holds no whole checkpoint; train first")));
}

TEST_F(FindCheckpoint, OtherFoldersAreNone) {
  const auto rule =
      HasSubstr("must be a run folder (with checkpoints/) or a checkpoint (with manifest.json)");
  EXPECT_THAT([&] { resolve_checkpoint(io_, folder_ / "nothing"); }, ThrowsMessage<UserError>(rule));
  test::write_file(folder_ / "data/manifest.json", "{\"format\": \"switchyard tokens\"}");
  EXPECT_TRUE(is_prepared_folder(folder_ / "data"));
  EXPECT_THAT([&] { resolve_checkpoint(io_, folder_ / "data"); }, ThrowsMessage<UserError>(rule));
}

}  // namespace
}  // namespace switchyard::app
