// The commands themselves: trained here, out, in again, trained on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "app/exit_code.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Cycle : public testing::Test {
 protected:
  Cycle() { expect_done(Workshop::train("run", {"train.steps=12"})); }
  std::string expect_done(const std::vector<std::string>& words) {
    const Outcome outcome = workshop_.run(words);
    EXPECT_EQ(outcome.code, app::kExitDone) << outcome.err;
    return outcome.out;
  }
  /// A run of 3 steps that starts with the weights of `from`.
  std::vector<std::string> train_on(const std::string& name, const std::string& from,
                                    const std::vector<std::string>& more = {}) {
    std::vector<std::string> settings = {"train.init_from=" + from, "train.steps=3", "train.evaluate_every=0",
                                         "optimizer.schedule.warmup_steps=1"};
    settings.insert(settings.end(), more.begin(), more.end());
    return Workshop::train(name, settings);
  }
  Workshop workshop_;
};

TEST_F(Cycle, AModelThatWentOutAndInAgainIsTheSame) {
  EXPECT_THAT(expect_done({"export", "runs/run", "--output", "out"}),
              AllOf(HasSubstr("out: a mixtral model, step 12, 41 tensors of fp32"),
                    HasSubstr("model.safetensors"), HasSubstr("tokenizer.json"), HasSubstr("257 tokens")));
  EXPECT_THAT(expect_done({"import", "out", "--output", "in"}),
              AllOf(HasSubstr("step-00000000"), HasSubstr("of a mixtral model"),
                    HasSubstr("tokenizer   bytes"), HasSubstr("in/continue.yaml")));
  const std::vector<std::string> greedy = {"--prompt", "wagon", "--temperature", "0", "--tokens", "11"};
  std::vector<std::string> before = {"generate", "runs/run"}, after = {"generate", "in"};
  before.insert(before.end(), greedy.begin(), greedy.end());
  after.insert(after.end(), greedy.begin(), greedy.end());
  EXPECT_EQ(expect_done(after), expect_done(before));
  const auto loss = [&](const std::string& run) {
    return nlohmann::json::parse(expect_done({"evaluate", run, "--data", "data"}))["bits_per_byte"]
        .get<double>();
  };
  EXPECT_GT(loss("in"), 0);
  expect_done({"export", "in", "--output", "again"});
  for (const auto& entry : std::filesystem::directory_iterator(workshop_ / "out"))
    EXPECT_EQ(read_file(entry.path()), read_file(workshop_ / "again" / entry.path().filename()))
        << entry.path();
}

TEST_F(Cycle, TrainingOnGivesTheSameBitsOnEveryLayout) {
  expect_done({"export", "runs/run", "--output", "out"});
  expect_done({"import", "out", "--output", "in"});
  expect_done(train_on("one", "in"));
  const Outcome two = workshop_.run_ranks(2, train_on("two", "in", {"parallel.expert=2"}));
  EXPECT_EQ(two.code, app::kExitDone) << two.err;
  EXPECT_EQ(workshop_.digest(workshop_.run_folder("two")), workshop_.digest(workshop_.run_folder("one")));
  expect_done(train_on("straight", "runs/run"));
  EXPECT_EQ(workshop_.digest(workshop_.run_folder("straight")), workshop_.digest(workshop_.run_folder("one")))
      << "out and in again changes no bit";
  const double first = workshop_.steps("one").front()["loss"];
  const double fresh = workshop_.steps("run").front()["loss"], last = workshop_.steps("run").back()["loss"];
  EXPECT_LT(first, (fresh + last) / 2) << "it starts from the trained weights";
}

TEST_F(Cycle, ARunThatIsInterruptedResumesFromItsOwnCheckpoint) {
  expect_done(train_on("whole", "runs/run", {"train.steps=6"}));
  expect_done(train_on("cut", "runs/run", {"train.steps=6", "checkpoint.every=3"}));
  std::filesystem::remove_all(workshop_.checkpoint("cut", 6));
  std::filesystem::remove_all(workshop_.run_folder("run"));  // what it started from is not needed again
  expect_done(train_on("cut", "runs/run", {"train.steps=6", "checkpoint.every=3"}));
  EXPECT_EQ(workshop_.digest(workshop_.run_folder("cut")), workshop_.digest(workshop_.run_folder("whole")));
}

TEST_F(Cycle, WeightsThatDoNotFitAreRefused) {
  const Outcome shape = workshop_.run(train_on("a", "runs/run", {"model.width=64"}));
  EXPECT_EQ(shape.code, app::kExitCheckpoint) << shape.err;
  EXPECT_THAT(shape.err, HasSubstr("embedding.weight"));
  const Outcome nothing = workshop_.run(train_on("b", "runs/nowhere"));
  EXPECT_EQ(nothing.code, app::kExitUsage) << nothing.err;
  EXPECT_THAT(nothing.err, HasSubstr("train.init_from: runs/nowhere"));
  const auto part = workshop_.checkpoint("run", 12) / "part-00000.safetensors";
  std::string bytes = read_file(part);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(part, bytes);
  std::filesystem::remove_all(workshop_.checkpoint("run", 10));
  const Outcome damaged = workshop_.run(train_on("c", "runs/run"));
  EXPECT_EQ(damaged.code, app::kExitCheckpoint) << damaged.err;
}

TEST_F(Cycle, AnotherBaseOfPositionsIsTakenAndTold) {
  const Outcome outcome = workshop_.run(train_on("longer", "runs/run", {"model.rope_theta=500000"}));
  EXPECT_EQ(outcome.code, app::kExitDone);
  EXPECT_THAT(outcome.err, HasSubstr("model.rope_theta is 500000 and was 10000 where the weights come from"));
}

TEST_F(Cycle, UpcycledWithoutNoiseItAnswersLikeTheDenseModel) {
  const std::vector<std::string> dense = {"model.moe.experts=0", "model.moe.aux_loss=0",
                                          "model.moe.z_loss=0"};
  expect_done(Workshop::train("dense", dense));
  expect_done({"export", "runs/dense", "--output", "out"});
  EXPECT_THAT(expect_done({"import", "out", "--output", "in", "--experts", "4"}),
              HasSubstr("4 experts, top-2"));
  const std::vector<std::string> ask = {"--prompt", "wagon", "--temperature", "0", "--tokens", "11"};
  std::vector<std::string> before = {"generate", "runs/dense"}, after = {"generate", "in"};
  before.insert(before.end(), ask.begin(), ask.end());
  after.insert(after.end(), ask.begin(), ask.end());
  EXPECT_EQ(expect_done(after), expect_done(before));
}

TEST_F(Cycle, RefusalsHaveTheirExitCodes) {
  ModelWriter model(app::Family::mixtral);
  model.tensors.erase("model.norm.weight");
  model.config["hidden_act"] = "silu";
  model.write(workshop_ / "broken");
  const Outcome missing = workshop_.run({"import", "broken", "--output", "in"});
  EXPECT_EQ(missing.code, app::kExitData);
  EXPECT_THAT(missing.err, HasSubstr("model.norm.weight: is missing"));
  EXPECT_EQ(missing.out, "");
  EXPECT_FALSE(std::filesystem::exists(workshop_ / "in"));
  EXPECT_FALSE(std::filesystem::exists(workshop_ / ".in.partial"));
  EXPECT_EQ(workshop_.run({"import", "nowhere", "--output", "in"}).code, app::kExitUsage);
  EXPECT_EQ(workshop_.run({"import", "broken", "--output", "in", "--top-k", "2"}).code, app::kExitUsage);
  expect_done(Workshop::train(
      "odd", {"train.steps=1", "optimizer.schedule.warmup_steps=0", "model.moe.score=sigmoid"}));
  const Outcome family = workshop_.run({"export", "runs/odd", "--output", "out"});
  EXPECT_EQ(family.code, app::kExitUsage);
  EXPECT_THAT(family.err, AllOf(HasSubstr("mixtral    model.moe.score must be softmax; got sigmoid"),
                                HasSubstr("olmoe      model.qk_norm must be full_width; got none")));
  EXPECT_FALSE(std::filesystem::exists(workshop_ / "out"));
}

TEST(ImportMemory, IsAFewMebibytesWhateverTheSize) {
  // 97 MB of bf16 in a sparse file: 194 MB of fp32 in the checkpoint, the largest tensor 34 MB.
  Folder folder;
  ModelWriter model(app::Family::llama, "BF16");
  model.config["hidden_size"] = 1024;
  model.config["vocab_size"] = 8192;
  model.config["intermediate_size"] = 4096;
  model.config["num_hidden_layers"] = 2;
  model.config.erase("head_dim");
  std::map<std::string, std::vector<std::int64_t>> shapes = {{"model.embed_tokens.weight", {8192, 1024}},
                                                             {"lm_head.weight", {8192, 1024}},
                                                             {"model.norm.weight", {1024}}};
  for (int l = 0; l < 2; ++l) {
    const std::string prefix = "model.layers." + std::to_string(l) + ".";
    shapes[prefix + "input_layernorm.weight"] = {1024};
    shapes[prefix + "post_attention_layernorm.weight"] = {1024};
    shapes[prefix + "self_attn.q_proj.weight"] = {1024, 1024};
    shapes[prefix + "self_attn.k_proj.weight"] = {512, 1024};
    shapes[prefix + "self_attn.v_proj.weight"] = {512, 1024};
    shapes[prefix + "self_attn.o_proj.weight"] = {1024, 1024};
    shapes[prefix + "mlp.gate_proj.weight"] = {4096, 1024};
    shapes[prefix + "mlp.up_proj.weight"] = {4096, 1024};
    shapes[prefix + "mlp.down_proj.weight"] = {1024, 4096};
  }
  write_file(folder / "in/config.json", model.config.dump());
  write_empty_tensors(folder / "in/model.safetensors", "BF16", shapes);

  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    return usage.ru_maxrss;
  };
  ASSERT_EQ(run({SWITCHYARD_PROGRAM, "import", "--help"}).code, 0);
  const long idle = peak_kib();
  const Outcome outcome = run({SWITCHYARD_PROGRAM, "import", folder / "in", "--output", folder / "run"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_LT(peak_kib() - idle, 32 * 1024) << "KiB, beside " << idle << " of the program alone";
  ASSERT_EQ(run({SWITCHYARD_PROGRAM, "export", folder / "run", "--output", folder / "out"}).code, 0);
  EXPECT_LT(peak_kib() - idle, 64 * 1024) << "of an export";
}

}  // namespace
}  // namespace switchyard::test
