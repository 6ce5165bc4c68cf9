// What can be done with a trained model: generate, evaluate, inspect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

bool is_utf8(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
    if (length == 0 || lead > 0xF4 || at + length > text.size()) return false;
    for (std::size_t i = 1; i < length; ++i)
      if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return false;
    at += length;
  }
  return true;
}

class Trained : public testing::Test {
 protected:
  Trained() {
    // Room for more tokens than the sequences it is trained on.
    const auto words = Workshop::train("run", {"model.max_sequence_length=96"});
    EXPECT_EQ(workshop_.run(words).code, 0);
  }
  std::string generated(const std::vector<std::string>& options) {
    std::vector<std::string> words = {"generate", "runs/run", "--prompt", "naïve wagon"};
    words.insert(words.end(), options.begin(), options.end());
    const Outcome outcome = workshop_.run(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_TRUE(outcome.out.starts_with("naïve wagon")) << outcome.out;
    EXPECT_TRUE(outcome.out.ends_with("\n"));
    EXPECT_TRUE(is_utf8(outcome.out)) << outcome.out;
    return outcome.out;
  }
  nlohmann::json evaluated(const std::vector<std::string>& options = {}) {
    std::vector<std::string> words = {"evaluate", "runs/run"};
    words.insert(words.end(), options.begin(), options.end());
    const Outcome outcome = workshop_.run(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out);
  }
  Workshop workshop_;
};

TEST_F(Trained, GenerateFollowsTheSeedNotTheThreads) {
  const std::string text = generated({"--seed", "3", "--tokens", "60", "--threads", "1"});
  EXPECT_EQ(generated({"--seed", "3", "--tokens", "60", "--threads", "2"}), text);
  EXPECT_NE(generated({"--seed", "4", "--tokens", "60"}), text);
  // Hot enough that bytes come which begin no character: they must not leave as they are.
  EXPECT_THAT(generated({"--seed", "3", "--tokens", "80", "--temperature", "5"}), HasSubstr("\xEF\xBF\xBD"));
}

TEST_F(Trained, GenerateWithoutTemperatureIsOneText) {
  const std::string text = generated({"--temperature", "0", "--tokens", "60", "--threads", "1"});
  EXPECT_EQ(generated({"--temperature", "0", "--tokens", "60", "--threads", "2", "--seed", "9"}), text);
  EXPECT_EQ(generated({"--top-k", "1", "--tokens", "60"}), text);
  const std::string shorter = generated({"--temperature", "0", "--tokens", "20"});
  EXPECT_TRUE(text.starts_with(shorter.substr(0, shorter.size() - 1)))
      << "each token follows from those before";
}

TEST_F(Trained, GenerateRefusesAPromptBeyondTheModel) {
  const Outcome outcome = workshop_.run({"generate", "runs/run", "--prompt", std::string(96, 'a')});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("--prompt"), HasSubstr("96")));
}

TEST_F(Trained, GenerateShowsTextBeforeItEnds) {
  ASSERT_EQ(workshop_.run(Workshop::train("long", {"model.max_sequence_length=4096", "train.steps=5"})).code,
            0);
  // 4000 bytes are less than a buffer of stdout, so nothing would come early without flushing.
  const auto running =
      workshop_.start({"generate", "runs/long", "--prompt", "x", "--tokens", "4000", "--temperature", "0"});
  EXPECT_TRUE(running->wait_until([&] { return running->out_so_far().size() > 20; }));
  EXPECT_LT(running->out_so_far().size(), 3000U);
  EXPECT_TRUE(running->is_running());
}

TEST_F(Trained, EvaluateAgreesWithTheRun) {
  const nlohmann::json all = evaluated();
  for (const char* key :
       {"checkpoint", "step", "data", "split", "tokens", "loss", "perplexity", "bits_per_byte", "seconds"})
    EXPECT_TRUE(all.contains(key)) << key;
  EXPECT_EQ(all["step"], 20);
  EXPECT_EQ(all["split"], "validation");
  const double loss = all["loss"], tokens = all["tokens"];
  EXPECT_NEAR(all["perplexity"].get<double>(), std::exp(loss), 1e-9 * std::exp(loss));
  // Bits per byte spread the same loss over bytes of text: as many as tokens but for the ends of documents.
  const double bytes = loss * tokens / std::numbers::ln2 / all["bits_per_byte"].get<double>();
  EXPECT_NEAR(bytes, std::round(bytes), 1e-6);
  EXPECT_LT(bytes, tokens);
  EXPECT_GE(bytes, tokens - 10) << "more documents are held out than there can be";

  const nlohmann::json two = evaluated({"--batches", "2", "--threads", "2"});
  const auto last = workshop_.evaluations("run").back();
  EXPECT_EQ(two["loss"], last["validation_loss"]) << "the same bits as during training";
  EXPECT_EQ(two["tokens"], last["validation_tokens"]);
  EXPECT_EQ(evaluated({"--split", "train", "--data", "data"})["split"], "train");
}

TEST_F(Trained, EvaluateTakesACheckpointAndRefusesOtherFolders) {
  const auto checkpoint = workshop_.checkpoint("run", 10).string();
  const Outcome outcome = workshop_.run({"evaluate", checkpoint});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["step"], 10);
  EXPECT_EQ(workshop_.run({"evaluate", "data"}).code, 2);
  EXPECT_EQ(workshop_.run({"evaluate", "runs/run", "--data", "nowhere"}).code, 3);
}

TEST_F(Trained, InspectLooksIntoEachKindOfThing) {
  const auto shown = [&](const std::string& path) {
    const Outcome outcome = workshop_.run({"inspect", path});
    EXPECT_EQ(outcome.code, 0) << path << outcome.err;
    return outcome.out;
  };
  EXPECT_THAT(shown("data/train-00000.h5"),
              AllOf(HasSubstr("token shard"), HasSubstr("documents     35"), HasSubstr("0 damaged"),
                    HasSubstr("metadata verified"), HasSubstr("begins with")));
  EXPECT_THAT(shown("data"), AllOf(HasSubstr("prepared data"), HasSubstr("train"), HasSubstr("validation"),
                                   HasSubstr("intact")));
  EXPECT_THAT(shown(workshop_.checkpoint("run", 20).string()),
              AllOf(HasSubstr("step          20"), HasSubstr("layers.0.moe.experts.gate_up.weight"),
                    HasSubstr("optimizer.m.layers.1."), HasSubstr("data_digest"), HasSubstr("verified")));
  EXPECT_THAT(shown("runs/run"), AllOf(HasSubstr("step-00000010"), HasSubstr("step-00000020")));
  EXPECT_EQ(workshop_.digest("runs/run"), workshop_.digest(workshop_.checkpoint("run", 20)));
  EXPECT_NE(workshop_.digest("runs/run"), workshop_.digest(workshop_.checkpoint("run", 10)));
  EXPECT_EQ(workshop_.run({"inspect", "nowhere"}).code, 2);
  EXPECT_EQ(workshop_.run({"inspect", "text"}).code, 2);
}

// Checkpoints hold f32 masters; what evaluates and generates rounds them as training did.
TEST(Bf16Run, IsResumedEvaluatedExportedAndTrainedOnFrom) {
  const Workshop workshop;
  const std::string bf16 = "train.precision=bf16";
  ASSERT_EQ(workshop.run(Workshop::train("run", {bf16})).code, 0);
  const Outcome inspected = workshop.run({"inspect", workshop.checkpoint("run", 20).string()});
  EXPECT_THAT(inspected.out, AllOf(HasSubstr("layers.0.moe.experts.gate_up.weight"), HasSubstr(" f32 "),
                                   testing::Not(HasSubstr(" bf16 "))));
  ASSERT_EQ(workshop.run(Workshop::train("short", {bf16, "train.steps=10"})).code, 0);
  ASSERT_EQ(workshop.run(Workshop::train("short", {bf16})).code, 0);
  EXPECT_EQ(workshop.digest("runs/short"), workshop.digest("runs/run"));

  const Outcome evaluated = workshop.run({"evaluate", "runs/run", "--batches", "2", "--threads", "2"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_EQ(nlohmann::json::parse(evaluated.out)["loss"],
            workshop.evaluations("run").back()["validation_loss"])
      << "the same bits as during training";
  const auto generate = [&](const std::string& threads) {
    return workshop.run({"generate", "runs/run", "--prompt", "a", "--tokens", "20", "--threads", threads})
        .out;
  };
  EXPECT_GT(generate("1").size(), 5U);
  EXPECT_EQ(generate("1"), generate("2"));

  const Outcome exported = workshop.run({"export", "runs/run", "--output", "exported"});
  EXPECT_EQ(exported.code, 0) << exported.err;
  ASSERT_EQ(workshop.run({"import", "exported", "--output", "imported"}).code, 0);
  const Outcome on = workshop.run(Workshop::train("on", {bf16, "train.init_from=imported", "train.steps=6"}));
  EXPECT_EQ(on.code, 0) << on.err;
  const double before = workshop.steps("run").back()["loss"], after = workshop.steps("on").front()["loss"];
  EXPECT_LT(after, 1.2 * before) << "it goes on from trained weights";

  // Another precision from here on, where the configuration says so: the state is the same.
  ASSERT_EQ(workshop.run(Workshop::train("run", {"train.steps=22"})).code, 0);
  EXPECT_LT(workshop.steps("run").back()["loss"].get<double>(), 1.2 * before);
  workshop.expect_steps_once("run", 22);
}

// From a tokenizer.json to text: the tokenizer travels with the data and with each checkpoint.
TEST(BpeRun, PreparesTrainsAndGeneratesWithATokenizerJson) {
  const Workshop workshop;
  const std::filesystem::path fixtures =
      std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures";
  std::filesystem::create_directories(workshop / "tokenizer");
  std::filesystem::copy_file(fixtures / "qwen.json", workshop / "tokenizer/tokenizer.json");
  const std::vector<std::string> words = {"prepare",     "text",      "--output",  "bpe",
                                          "--tokenizer", "tokenizer", "--threads", "1"};
  const Outcome unclear = workshop.run(words);
  EXPECT_EQ(unclear.code, 2);
  EXPECT_THAT(unclear.err, AllOf(HasSubstr("<|im_end|>"), HasSubstr("--end-of-document")));
  auto named = words;
  named.insert(named.end(), {"--end-of-document", "<|endoftext|>"});
  ASSERT_EQ(workshop.run(named).code, 0);
  const Outcome inspected = workshop.run({"inspect", "bpe"});
  EXPECT_THAT(inspected.out, AllOf(HasSubstr("bpe ("), HasSubstr("intact")));
  const Outcome trained = workshop.run(Workshop::train("bpe", {"data.train=bpe", "train.steps=6"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  std::filesystem::remove_all(workshop / "tokenizer");  // not needed any more
  const Outcome text =
      workshop.run({"generate", "runs/bpe", "--prompt", "na\xc3\xafve wagon", "--tokens", "20"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_TRUE(text.out.starts_with("na\xc3\xafve wagon")) << text.out;
  EXPECT_TRUE(is_utf8(text.out));
  EXPECT_EQ(workshop.run({"evaluate", "runs/bpe"}).code, 0);
  const Outcome other = workshop.run({"evaluate", "runs/bpe", "--data", "data"});
  EXPECT_EQ(other.code, 3);
  EXPECT_THAT(other.err, AllOf(HasSubstr("model's tokenizer"), HasSubstr("bytes")));
}

}  // namespace
}  // namespace switchyard::test
