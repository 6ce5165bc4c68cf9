// What tests of the whole program start from: a folder with text that is the same on every machine, made into
// token shards, and tiny configurations.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace switchyard::test {

/// About 600 bytes of sentences that follow from `number` alone, with letters beyond ASCII.
std::string sample_document(int number);

/// Runs the program in a folder of its own. One thread per rank and no colour unless a test asks.
class Workshop {
 public:
  /// With `data/` prepared from 40 documents, and `tiny.yaml`.
  Workshop();

  const Folder& folder() const { return folder_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

  /// The program with these words.
  Outcome run(const std::vector<std::string>& words) const;
  Outcome run(const std::vector<std::string>& words,
              const std::map<std::string, std::string>& environment) const;
  std::unique_ptr<Process> start(const std::vector<std::string>& words) const;
  /// Under mpirun. Not skipped where there is none: the test fails.
  Outcome run_ranks(int ranks, const std::vector<std::string>& words) const;
  std::unique_ptr<Process> start_ranks(int ranks, const std::vector<std::string>& words) const;

  /// "train tiny.yaml --set run.name=NAME ..."
  static std::vector<std::string> train(const std::string& name,
                                        const std::vector<std::string>& settings = {});
  /// `switchyard inspect --digest` of a run or checkpoint; fails the test if it does not verify.
  std::string digest(const std::filesystem::path& run) const;
  std::filesystem::path run_folder(const std::string& name) const { return folder_ / ("runs/" + name); }
  std::filesystem::path checkpoint(const std::string& name, int step) const;
  /// The lines of metrics.jsonl of training steps, in order.
  std::vector<nlohmann::json> steps(const std::string& name) const;
  /// Those of evaluations.
  std::vector<nlohmann::json> evaluations(const std::string& name) const;
  /// Fails the test unless there is one line for each step 1..count, in order.
  void expect_steps_once(const std::string& name, int count) const;

 private:
  std::vector<nlohmann::json> lines(const std::string& name, const std::string& key) const;

  Folder folder_;
};

/// Words after "mpirun" that let ranks share cores, and the variables that let root use it.
std::vector<std::string> mpirun_words(int ranks);
std::map<std::string, std::string> mpirun_environment();

}  // namespace switchyard::test
