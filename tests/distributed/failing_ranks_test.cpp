#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace switchyard::parallel {

namespace {

struct Outcome {
  int exit_code = -1;
  std::string text;
  double seconds = 0;
};

Outcome run(const std::string& command) {
  Outcome outcome;
  const auto start = std::chrono::steady_clock::now();
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> chunk{};
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
    outcome.text.append(chunk.data(), got);
  }
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

std::string ranks(int count, const std::string& arguments) {
  return fmt::format("timeout 60 {} -n {} {} {}", SWITCHYARD_MPIRUN, count, FAILING_RANKS, arguments);
}

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Generous beside the second that it takes: the machine may be running other tests.
constexpr double kPromptSeconds = 15;

TEST(FailingRanks, OneRanksExceptionEndsAllWithItsExitCode) {
  for (const int failing : {0, 2}) {
    const Outcome outcome = run(ranks(3, fmt::format("throw {}", failing)));
    EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
    EXPECT_THAT(outcome.text, testing::HasSubstr(fmt::format("rank {}: shard 7 is damaged", failing)));
    EXPECT_LT(outcome.seconds, kPromptSeconds);
  }
}

TEST(FailingRanks, CauseThatAllRanksShareIsPrintedOnce) {
  const Outcome outcome = run(ranks(4, "all-throw 0"));
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
  EXPECT_EQ(occurrences(outcome.text, "no shards in data/"), 1) << outcome.text;
}

TEST(FailingRanks, RankThatDiesEndsTheJob) {
  const Outcome outcome = run(ranks(3, "die 1"));
  EXPECT_EQ(outcome.exit_code, 9) << outcome.text;
  EXPECT_LT(outcome.seconds, kPromptSeconds);
}

TEST(FailingRanks, SizesThatOneSideSeesOtherwiseAreAnErrorNamingBoth) {
  const Outcome outcome = run(ranks(3, "sizes 2"));
  EXPECT_EQ(outcome.exit_code, 8) << outcome.text;
  EXPECT_THAT(outcome.text, testing::HasSubstr("rank 0 sends 4 bytes, rank 2 expects 5"));
}

TEST(FailingRanks, AgreedExitCodeIsTheJobs) {
  EXPECT_EQ(run(ranks(3, "stop 0")).exit_code, 75);
}

TEST(WithoutLauncher, IsOneRankWithTheSameExitCodes) {
  EXPECT_EQ(run(fmt::format("{} none 0", FAILING_RANKS)).exit_code, 0);
  EXPECT_EQ(run(fmt::format("{} stop 0", FAILING_RANKS)).exit_code, 75);
  const Outcome failed = run(fmt::format("{} throw 0", FAILING_RANKS));
  EXPECT_EQ(failed.exit_code, 3);
  EXPECT_EQ(occurrences(failed.text, "shard 7 is damaged"), 1);
}

TEST(WithoutLauncher, LonelySlurmTaskIsRefusedWithTheFix) {
  const Outcome refused = run(fmt::format("SLURM_NTASKS=4 {} none 0", FAILING_RANKS));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.text, testing::AllOf(testing::HasSubstr("SLURM_NTASKS is 4"),
                                           testing::HasSubstr("mpirun -n 4"), testing::HasSubstr("pmix")));
  EXPECT_EQ(run(fmt::format("SLURM_NTASKS=1 {} none 0", FAILING_RANKS)).exit_code, 0);
  EXPECT_EQ(run("SLURM_NTASKS=4 " + ranks(2, "none 9")).exit_code, 0);
}

}  // namespace

}  // namespace switchyard::parallel
