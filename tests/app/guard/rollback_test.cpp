// Spikes in a real run: the same steps skipped, the same rollbacks and the same bits on any layout, interval
// of checkpoints, and however often the run is stopped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Words = std::vector<std::string>;

// So near that ordinary noise of tiny batches counts as a spike.
Words policy(int seed, const Words& more = {}) {
  Words settings = {"guard.spike_sigma=2",
                    "guard.spike_window=8",
                    "guard.rollback_after=2",
                    "guard.rollback_steps=10",
                    "train.steps=60",
                    "train.evaluate_every=0",
                    "train.global_batch=4",
                    "train.micro_batch=1",
                    "optimizer.learning_rate=3e-3",
                    "run.seed=" + std::to_string(seed)};
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

TEST(Rollback, IsTheSameOnAnyLayoutIntervalAndAfterStops) {
  const Workshop workshop;
  // Which batches count as spikes follows from the data, so a seed that rolls back twice and recovers is
  // looked for.
  Outcome whole;
  int seed = 0;
  for (bool found = false; !found && seed < 40;) {
    ++seed;
    Words words = Workshop::train("whole", policy(seed, {"checkpoint.every=10"}));
    words.emplace_back("--fresh");
    whole = workshop.run(words);
    ASSERT_TRUE(whole.code == 0 || whole.code == 6) << whole.err;
    found = whole.code == 0 && occurrences(whole.err, "rolling back to step") > 1;
  }
  ASSERT_EQ(whole.code, 0) << "no seed rolls back and recovers";
  EXPECT_THAT(whole.err, AllOf(HasSubstr("SKIPPED: spike"), HasSubstr("leaving out batches")));
  workshop.expect_steps_once("whole", 60);
  const std::string digest = workshop.digest("runs/whole");
  const Outcome inspected = workshop.run({"inspect", workshop.checkpoint("whole", 60).string()});
  EXPECT_THAT(inspected.out, HasSubstr("skipped_batches"));
  EXPECT_THAT(read_file(workshop.run_folder("whole") / "metrics.jsonl"), HasSubstr("\"rolled_back_from\":"));

  const Outcome often =
      workshop.run(Workshop::train("often", policy(seed, {"checkpoint.every=1", "checkpoint.keep=20"})));
  EXPECT_EQ(often.code, 0) << often.err;
  EXPECT_EQ(workshop.digest("runs/often"), digest) << "another interval of checkpoints";

  const Outcome ranks = workshop.run_ranks(
      2, Workshop::train("ranks", policy(seed, {"checkpoint.every=10", "parallel.expert=2"})));
  EXPECT_EQ(ranks.code, 0) << ranks.err;
  EXPECT_EQ(workshop.digest("runs/ranks"), digest) << "another layout";

  // Stopped after every third step or so, wherever that is: in a row of skipped steps, after a rollback.
  int stops = 0;
  for (int code = 75; code == 75 && stops < 200; ++stops) {
    const auto running = workshop.start(
        Workshop::train("stopped", policy(seed, {"checkpoint.every=10", "checkpoint.keep=30"})));
    const std::size_t before = workshop.steps("stopped").size();
    running->wait_until([&] { return workshop.steps("stopped").size() >= before + 3; });
    running->signal(SIGTERM);
    const Outcome outcome = running->wait();
    code = outcome.code;
    ASSERT_TRUE(code == 75 || code == 0) << outcome.err;
  }
  EXPECT_GT(stops, 1);
  EXPECT_EQ(workshop.digest("runs/stopped"), digest) << "after " << stops << " stops";
}

TEST(Rollback, NeedsCheckpointsToGoBackTo) {
  const Workshop workshop;
  const Outcome refused =
      workshop.run(Workshop::train("x", {"guard.rollback_after=2", "checkpoint.every=0"}));
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("guard.rollback_after"));
}

TEST(Guard, OffChangesNoBitAndParityFindsNothing) {
  const Workshop workshop;
  ASSERT_EQ(workshop.run(Workshop::train("plain")).code, 0);
  const Outcome guarded =
      workshop.run_ranks(2, Workshop::train("guarded", {"guard.spike_sigma=1000", "guard.parity_every=1"}));
  ASSERT_EQ(guarded.code, 0) << guarded.err;
  const auto plain = workshop.steps("plain"), watched = workshop.steps("guarded");
  ASSERT_EQ(plain.size(), watched.size());
  for (std::size_t step = 0; step < plain.size(); ++step)
    EXPECT_EQ(plain[step]["loss"], watched[step]["loss"]);
}

}  // namespace
}  // namespace switchyard::test
