#include "parallel/watchdog/judge/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard::parallel {
namespace {

using kernels::Phase;
using testing::HasSubstr;

/// Ranks whose watchers beat and whose main threads do as a test says; looked at ten times a second.
class Ranks {
 public:
  explicit Ranks(std::size_t count, Limits limits = {.silent_seconds = 7, .hang_seconds = 30})
      : sights(count), judge_(static_cast<std::int64_t>(count), limits), beating_(count, true) {
    for (Sight& sight : sights) move(sight, EventKind::place, Phase::forward);
  }
  static void move(Sight& sight, EventKind kind, Phase phase = Phase::forward) {
    ++sight.current.sequence;
    sight.current.kind = kind;
    sight.current.place.phase = phase;
  }
  void wait(std::size_t rank) { move(sights[rank], EventKind::entered, Phase::reduce); }
  void silence(std::size_t rank) { beating_[rank] = false; }
  /// Looks for so long; the first verdict ends it.
  std::optional<Verdict> run(double seconds, double gap = 0.1) {
    const double end = now + seconds;
    while (now < end) {
      now += gap;
      for (std::size_t rank = 0; rank < sights.size(); ++rank) {
        if (beating_[rank]) ++sights[rank].beats;
        if (busy && beating_[rank]) ++sights[rank].activity;
      }
      if (auto verdict = judge_.look(now, sights)) return verdict;
    }
    return std::nullopt;
  }

  std::vector<Sight> sights;
  double now = 100;
  bool busy = false;  ///< processes use the processor

 private:
  Judge judge_;
  std::vector<bool> beating_;
};

TEST(Judge, WaitingAloneIsNoFault) {
  Ranks ranks(3);
  ranks.wait(0);
  ranks.wait(1);
  for (int i = 0; i < 50; ++i) {  // rank 2 works for 50 s in all, and moves
    Ranks::move(ranks.sights[2], EventKind::place);
    EXPECT_FALSE(ranks.run(1));
  }
}

TEST(Judge, WorkThatNobodyWaitsForIsNoFault) {
  Ranks ranks(3);
  EXPECT_FALSE(ranks.run(1000));
}

TEST(Judge, StoppedProcessIsNamedInTime) {
  Ranks ranks(3);
  EXPECT_FALSE(ranks.run(5));
  ranks.wait(0);
  ranks.wait(1);  // also the stopped one may have entered the collective
  ranks.wait(2);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  const double begin = ranks.now;
  const auto verdict = ranks.run(20);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fate, Fate::hung);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("stopped"));
  EXPECT_LE(ranks.now - begin, 7.3);
  EXPECT_GE(ranks.now - begin, 6.9);
}

TEST(Judge, StoppedForAWhileIsForgiven) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  EXPECT_FALSE(ranks.run(6.5));
  ++ranks.sights[1].beats;
  EXPECT_FALSE(ranks.run(6.5));
}

TEST(Judge, StoppedRankForWhichNobodyWaitsIsLeftAlone) {
  Ranks ranks(2);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  EXPECT_FALSE(ranks.run(60));
}

TEST(Judge, RankOutOfSightIsNotJudged) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].is_here = ranks.sights[1].is_seen = false;
  EXPECT_FALSE(ranks.run(1000));
}

TEST(Judge, StarvedWatcherOfARunningProcessIsNotSilent) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::runs;
  EXPECT_FALSE(ranks.run(25));
}

TEST(Judge, SilentHostIsNamed) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].is_here = false;
  const auto verdict = ranks.run(20);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("host"));
}

TEST(Judge, RankThatDoesNotMoveIsHungWhenOthersWaitForTheLimit) {
  Ranks ranks(3);
  ranks.busy = true;  // an endless loop
  ranks.wait(0);
  ranks.wait(2);
  const double begin = ranks.now;
  const auto verdict = ranks.run(100);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fate, Fate::hung);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_NEAR(ranks.now - begin, 30, 0.5);
}

TEST(Judge, WorkInAQuietPhaseCountsAsMoving) {
  for (const Phase phase : {Phase::start, Phase::resume, Phase::save, Phase::exit}) {
    Ranks ranks(2);
    ranks.busy = true;
    Ranks::move(ranks.sights[0], EventKind::entered, phase);
    Ranks::move(ranks.sights[1], EventKind::place, phase);
    EXPECT_FALSE(ranks.run(300));
    ranks.busy = false;
    ASSERT_TRUE(ranks.run(40));
  }
}

TEST(Judge, RankUnderADebuggerIsLeftAlone) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::traced;
  EXPECT_FALSE(ranks.run(1000));
}

TEST(Judge, MachineThatSleepsAccusesNobody) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  EXPECT_FALSE(ranks.run(3));
  EXPECT_FALSE(ranks.run(3600, 3600));  // one look after an hour counts as a second
  EXPECT_TRUE(ranks.run(4));
}

TEST(Judge, GoneProcessIsDeadAtOnce) {
  Ranks ranks(3);
  ranks.wait(0);
  ranks.sights[2].process = ProcessState::gone;
  const double begin = ranks.now;
  const auto verdict = ranks.run(10);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fate, Fate::dead);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_LE(ranks.now - begin, 0.35);
}

TEST(Judge, RankWhoseGuardianSaysThatItIsGoneIsDead) {
  Ranks ranks(2);
  ranks.sights[1].life = Life::gone;
  const auto verdict = ranks.run(10);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fate, Fate::dead);
  EXPECT_EQ(verdict->rank, 1);
}

TEST(Judge, StoppedRankIsNamedOnlyOnceSomebodyHasWaitedForASecond) {
  Ranks ranks(3);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  EXPECT_FALSE(ranks.run(20));
  ranks.wait(0);
  const double begin = ranks.now;
  ASSERT_TRUE(ranks.run(10));
  EXPECT_NEAR(ranks.now - begin, 1, 0.3);
}

TEST(Judge, FinishedRankWaitsForNobody) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.sights[0].life = Life::finished;
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  EXPECT_FALSE(ranks.run(100));
}

TEST(Judge, AllWaitingButOneFinishedNamesOneThatWaits) {
  Ranks ranks(3);
  for (std::size_t rank : {0, 1, 2}) ranks.wait(rank);
  ranks.sights[0].life = Life::finished;
  const auto verdict = ranks.run(100);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("furthest behind"));
}

TEST(Judge, AllWaitingUnderADebuggerOrFinishedAccusesNobody) {
  Ranks traced(2);
  for (std::size_t rank : {0, 1}) traced.wait(rank);
  traced.sights[1].process = ProcessState::traced;
  EXPECT_FALSE(traced.run(100));
  Ranks finished(2);
  for (Sight& sight : finished.sights) sight.life = Life::finished;
  EXPECT_FALSE(finished.run(100));
}

TEST(Judge, FinishedRankMayGo) {
  Ranks ranks(2);
  ranks.wait(0);
  ranks.sights[1].life = Life::finished;
  ranks.sights[1].process = ProcessState::gone;
  ranks.silence(1);
  EXPECT_FALSE(ranks.run(20));
}

TEST(Judge, FailingRankExcusesAll) {
  Ranks ranks(3);
  ranks.wait(0);
  ranks.sights[1].life = Life::failing;
  ranks.sights[2].process = ProcessState::gone;
  EXPECT_FALSE(ranks.run(1000));
}

TEST(Judge, AllWaitingNamesTheOneBehind) {
  Ranks ranks(3);
  for (std::size_t rank : {0, 1, 2}) {
    ranks.wait(rank);
    ranks.sights[rank].current.call = rank == 1 ? 6 : 7;
  }
  const auto verdict = ranks.run(100);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->fate, Fate::hung);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("furthest behind"));
}

TEST(Judge, LimitsOfZeroAreNever) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  Ranks ranks(2, {.silent_seconds = kNever, .hang_seconds = kNever});
  ranks.wait(0);
  ranks.silence(1);
  ranks.sights[1].process = ProcessState::stopped;
  EXPECT_FALSE(ranks.run(10'000));
}

}  // namespace
}  // namespace switchyard::parallel
