#include "tests/support/workshop.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <sstream>

namespace switchyard::test {

namespace {

constexpr int kDocuments = 40;

constexpr const char* kTiny = R"(run:
  name: tiny
  seed: 7
  threads: 1

model:
  layers: 2
  width: 32
  heads: 2
  kv_heads: 1
  moe:
    experts: 4
    top_k: 2
    expert_width: 24
    aux_loss: 0.01
    z_loss: 0.001

data:
  train: data
  sequence_length: 16

train:
  steps: 20
  global_batch: 8
  micro_batch: 2
  evaluate_every: 10
  evaluate_batches: 2
  log_every: 5

optimizer:
  learning_rate: 1e-2
  schedule:
    kind: constant
    warmup_steps: 4

checkpoint:
  every: 10
)";

}  // namespace

std::string sample_document(int number) {
  static constexpr std::array kWords = {"wagon", "rail",  "signal", "yard",  "tower", "brake",
                                        "coal",  "Gleis", "naïve",  "train", "night", "snow",
                                        "line",  "steam", "météo",  "hump"};
  constexpr std::uint64_t kMultiplier = 6364136223846793005U, kIncrement = 1442695040888963407U;
  constexpr int kSentences = 12, kLength = 8;
  std::uint64_t state = static_cast<std::uint64_t>(number) * kMultiplier + kIncrement;
  std::string text;
  for (int sentence = 0; sentence < kSentences; ++sentence) {
    for (int word = 0; word < kLength; ++word) {
      state = state * kMultiplier + kIncrement;
      text += kWords.at((state >> 33U) % kWords.size());
      text += word + 1 < kLength ? " " : ".\n";
    }
  }
  return text;
}

Workshop::Workshop() {
  for (int i = 0; i < kDocuments; ++i)
    write_file(folder_ / fmt::format("text/{:02}.txt", i), sample_document(i));
  write_file(folder_ / "tiny.yaml", kTiny);
  const Outcome outcome = run({"prepare", "text", "--output", "data", "--held-out", "0.1", "--threads", "1"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

Outcome Workshop::run(const std::vector<std::string>& words) const {
  return start(words)->wait();
}

Outcome Workshop::run(const std::vector<std::string>& words,
                      const std::map<std::string, std::string>& environment) const {
  std::vector<std::string> all = {SWITCHYARD_PROGRAM};
  all.insert(all.end(), words.begin(), words.end());
  return test::run(all, {folder_.path(), environment});
}

std::unique_ptr<Process> Workshop::start(const std::vector<std::string>& words) const {
  std::vector<std::string> all = {SWITCHYARD_PROGRAM};
  all.insert(all.end(), words.begin(), words.end());
  return std::make_unique<Process>(all, Process::Surroundings{folder_.path(), {}});
}

std::vector<std::string> mpirun_words(int ranks) {
  return {SWITCHYARD_MPIRUN, "-n", std::to_string(ranks)};
}

std::map<std::string, std::string> mpirun_environment() {
  return {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
          {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
          {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
          {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
          {"OMPI_MCA_mpi_yield_when_idle", "1"},
          {"OMPI_MCA_hwloc_base_binding_policy", "none"}};
}

std::unique_ptr<Process> Workshop::start_ranks(int ranks, const std::vector<std::string>& words) const {
  std::vector<std::string> all = mpirun_words(ranks);
  all.emplace_back(SWITCHYARD_PROGRAM);
  all.insert(all.end(), words.begin(), words.end());
  return std::make_unique<Process>(all, Process::Surroundings{folder_.path(), mpirun_environment()});
}

Outcome Workshop::run_ranks(int ranks, const std::vector<std::string>& words) const {
  return start_ranks(ranks, words)->wait();
}

std::vector<std::string> Workshop::train(const std::string& name, const std::vector<std::string>& settings) {
  std::vector<std::string> words = {"train", "tiny.yaml", "--set", "run.name=" + name};
  for (const std::string& setting : settings) {
    words.emplace_back("--set");
    words.push_back(setting);
  }
  return words;
}

std::string Workshop::digest(const std::filesystem::path& run) const {
  const Outcome outcome = this->run({"inspect", "--digest", run.string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(occurrences(outcome.out, "\n"), 1) << outcome.out;
  EXPECT_GE(outcome.out.size(), 32U) << outcome.out;
  return outcome.out;
}

std::filesystem::path Workshop::checkpoint(const std::string& name, int step) const {
  return run_folder(name) / "checkpoints" / fmt::format("step-{:08}", step);
}

std::vector<nlohmann::json> Workshop::lines(const std::string& name, const std::string& key) const {
  std::istringstream text(read_file(run_folder(name) / "metrics.jsonl"));
  std::vector<nlohmann::json> found;
  for (std::string line; std::getline(text, line);) {
    if (text.eof()) break;  // no end of line: a run that goes on is writing it
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, false);
    EXPECT_TRUE(entry.is_object()) << line;
    if (entry.is_object() && entry.contains(key)) found.push_back(entry);
  }
  return found;
}

std::vector<nlohmann::json> Workshop::steps(const std::string& name) const {
  return lines(name, "loss");
}

std::vector<nlohmann::json> Workshop::evaluations(const std::string& name) const {
  return lines(name, "validation_loss");
}

void Workshop::expect_steps_once(const std::string& name, int count) const {
  std::vector<int> expected, found;
  for (int step = 1; step <= count; ++step) expected.push_back(step);
  for (const nlohmann::json& entry : steps(name)) found.push_back(entry["step"].get<int>());
  EXPECT_EQ(found, expected) << "steps of " << name;
}

}  // namespace switchyard::test
