// The program as a user runs it with run.device: cuda, on the device's stand-in: several processes that share
// it, what is said of the exchange, other commands on the device, and too little memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DeviceProgram : public testing::Test {
 protected:
  Outcome run(int ranks, const std::vector<std::string>& words,
              std::map<std::string, std::string> environment = {}) {
    std::vector<std::string> all;
    if (ranks > 1) {
      all = mpirun_words(ranks);
      environment.merge(mpirun_environment());
    }
    all.emplace_back(SWITCHYARD_ON_STAND_IN);
    all.insert(all.end(), words.begin(), words.end());
    return test::run(all, {workshop_.folder().path(), environment});
  }
  // A run of few and small steps.
  static std::vector<std::string> train(const std::string& name, int steps,
                                        std::vector<std::string> settings = {}) {
    for (const char* setting : {"train.global_batch=2", "train.micro_batch=1", "train.evaluate_every=0",
                                "model.layers=1", "model.width=16", "optimizer.schedule.warmup_steps=0"})
      settings.insert(settings.begin(), setting);
    settings.push_back("train.steps=" + std::to_string(steps));
    return Workshop::train(name, settings);
  }
  Workshop workshop_;
};

TEST_F(DeviceProgram, RanksThatShareAGpuGoOnFromEachOtherWithTheBitsOfOne) {
  const std::string cuda = "run.device=cuda";
  const Outcome first = run(2, train("moving", 2, {cuda, "parallel.expert=2"}));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.err,
              AllOf(HasSubstr("exchange: through host memory over MPI, 2 ranks share 1 GPU (ranks 0 and 1"),
                    HasSubstr("device 0: the host, pretending")));
  ASSERT_EQ(run(1, train("moving", 3, {cuda})).code, 0);
  const Outcome alone = run(1, train("still", 3, {cuda}));
  ASSERT_EQ(alone.code, 0) << alone.err;
  EXPECT_THAT(alone.err, testing::Not(HasSubstr("exchange:")));
  EXPECT_EQ(workshop_.digest("runs/moving"), workshop_.digest("runs/still"));

  ASSERT_EQ(workshop_.run(train("cpu", 3)).code, 0);
  const auto device = workshop_.steps("still"), cpu = workshop_.steps("cpu");
  ASSERT_EQ(device.size(), 3U);
  for (std::size_t step = 0; step < device.size(); ++step)
    EXPECT_NEAR(device[step]["loss"].get<double>(), cpu[step]["loss"].get<double>(), 1e-4);
}

TEST_F(DeviceProgram, EvaluatesAndGeneratesOnTheDeviceAsOnTheCpu) {
  ASSERT_EQ(workshop_.run(train("run", 3)).code, 0);
  std::vector<std::string> words = {"generate", "runs/run", "--temperature", "0",
                                    "--tokens", "3",        "--threads",     "1"};
  const Outcome cpu_text = workshop_.run(words);
  words.insert(words.end(), {"--device", "cuda"});
  const Outcome text = run(1, words);
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out, cpu_text.out);

  words = {"evaluate", "runs/run", "--batches", "1", "--threads", "1"};
  const Outcome cpu_loss = workshop_.run(words);
  words.insert(words.end(), {"--device", "cuda"});
  const Outcome loss = run(1, words);
  ASSERT_EQ(loss.code, 0) << loss.err;
  EXPECT_NEAR(nlohmann::json::parse(loss.out)["loss"].get<double>(),
              nlohmann::json::parse(cpu_loss.out)["loss"].get<double>(), 1e-4);
}

TEST_F(DeviceProgram, WithoutAGpuEveryCommandSaysSoAndWhatToChange) {
  ASSERT_EQ(workshop_.run(train("run", 1)).code, 0);
  for (const auto& words : {train("other", 1, {"run.device=cuda"}),
                            std::vector<std::string>{"generate", "runs/run", "--device", "cuda"},
                            {"verify", "tiny.yaml", "--set", "run.device=cuda"}}) {
    const Outcome outcome = workshop_.run(words);
    EXPECT_EQ(outcome.code, 9) << words[0];
    EXPECT_THAT(outcome.err, HasSubstr("cuda was asked for, but")) << words[0];
  }
}

TEST_F(DeviceProgram, TooLittleMemoryIsToldWithThePlanAndTheKeys) {
  // Enough for the state, not for what a step makes.
  const Outcome step =
      run(1, train("step", 1, {"run.device=cuda"}), {{"SWITCHYARD_STAND_IN_MEMORY", "5000000"}});
  EXPECT_EQ(step.code, 9) << step.err;
  EXPECT_THAT(step.err, AllOf(HasSubstr("the device is out of memory: "), HasSubstr("exact gradient sums"),
                              HasSubstr("lower train.micro_batch (now 1) or data.sequence_length (now 16), "
                                        "set train.recompute: block; or start more ranks")));
  // Not enough for the state.
  const Outcome state =
      run(1, train("state", 1, {"run.device=cuda"}), {{"SWITCHYARD_STAND_IN_MEMORY", "100000"}});
  EXPECT_EQ(state.code, 9) << state.err;
  EXPECT_THAT(state.err,
              AllOf(HasSubstr("Ranks that share a GPU each need this. start more ranks on further GPUs, "
                              "which share masters and moments, and raise parallel.expert (now 1)"),
                    HasSubstr("masters and moments of its share")));
}

}  // namespace
}  // namespace switchyard::test
