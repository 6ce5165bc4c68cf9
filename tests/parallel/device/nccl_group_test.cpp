#include "parallel/communicators/device/nccl/nccl_group.h"

#include <gmock/gmock.h>

#include "kernels/runtime/error.h"
#include "tests/parallel/device/scripted_nccl.h"

namespace switchyard::test {
namespace {

using parallel::Call;
using parallel::Collective;
using parallel::NcclGroup;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr auto kBusy = NcclStatus::in_progress;
const Call kCall{Collective::all_to_all_v, 12, 0, 64};

// Time that passes by 100 ms at each pause.
struct Time {
  std::chrono::steady_clock::time_point now{};
  int pauses = 0;
  parallel::PollClock clock() {
    parallel::PollClock out;
    out.now = [this] { return now; };
    out.pause = [this] {
      ++pauses;
      now += 100ms;
    };
    return out;
  }
};

class NcclGroupTest : public testing::Test {
 protected:
  std::unique_ptr<NcclGroup> open() {
    return std::make_unique<NcclGroup>(std::make_unique<ScriptedCalls>(script), parallel::NcclId{}, "expert",
                                       1, 4, parallel::NcclLimits{1000ms, 2000ms}, time.clock());
  }
  // What `body` throws, of class E.
  template <typename E, typename Body>
  std::string message(Body body) {
    try {
      body();
    } catch (const E& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }
  int count(const std::string& line) const {
    return static_cast<int>(std::count(script->log.begin(), script->log.end(), line));
  }
  NcclGroup::Work start(NcclGroup& group) {
    return group.start(kCall,
                       [](parallel::NcclCalls& calls) { return calls.send(ScriptedCalls::origin, 64, 3); });
  }

  std::shared_ptr<Script> script = std::make_shared<Script>();
  Time time;
};

TEST_F(NcclGroupTest, PollsEachCallUntilItHasEnded) {
  script->answers["start"] = {kBusy};
  script->answers["state"] = {kBusy, kBusy, NcclStatus::success, kBusy, NcclStatus::success};
  script->answers["end"] = {kBusy};
  script->polls_until_ended = 3;
  auto group = open();
  EXPECT_EQ(time.pauses, 3);
  const NcclGroup::Work work = start(*group);
  EXPECT_EQ(time.pauses, 5);
  group->wait(work);
  EXPECT_EQ(time.pauses, 8);
  group.reset();
  EXPECT_THAT(script->log, ElementsAre("start 1/4 id 0", "follow", "begin", "send 64 at 0 peer 3", "end",
                                       "mark", "finish", "release"));
}

TEST_F(NcclGroupTest, ARankThatNeverComesEndsTheStart) {
  script->answers["start"] = {kBusy};
  script->answers["state"] = std::deque<NcclStatus>(100, kBusy);
  const std::string text = message<HangError>([&] { open(); });
  EXPECT_THAT(text,
              HasSubstr("communicator expert: all ranks must come to its start with 4 ranks; rank 1 waited"));
  EXPECT_EQ(time.pauses, 11);
  EXPECT_THAT(script->log, ElementsAre("start 1/4 id 0", "abort"));
}

TEST_F(NcclGroupTest, AnErrorOfAPeerAbortsOnceAndIsRemembered) {
  script->polls_until_ended = -1;
  auto group = open();
  const NcclGroup::Work work = start(*group);
  script->answers["state"] = {NcclStatus::success, kBusy, NcclStatus::remote_error};
  script->reason = "rank 2 closed its connection";
  const std::string text = message<PeerError>([&] { group->wait(work); });
  EXPECT_THAT(
      text, HasSubstr("rank 1 in all_to_all_v #12 (64 bytes): NCCL reports that another rank failed: rank 2 "
                      "closed its connection"));
  EXPECT_EQ(time.pauses, 2);
  EXPECT_EQ(count("abort"), 1);
  EXPECT_THAT(message<PeerError>([&] { start(*group); }), HasSubstr("it was aborted: all_to_all_v #12"));
  EXPECT_THAT(message<PeerError>([&] { group->wait(work); }), HasSubstr("it was aborted"));
  EXPECT_THAT(message<PeerError>([&] { group->poll(work); }), HasSubstr("it was aborted"));
  group.reset();
  EXPECT_EQ(count("abort"), 1);
  EXPECT_EQ(count("finish") + count("release"), 0);
}

TEST_F(NcclGroupTest, ACollectiveWithoutEndIsAbortedAtItsDeadline) {
  script->polls_until_ended = -1;
  auto group = open();
  const NcclGroup::Work work = start(*group);
  EXPECT_THAT(message<HangError>([&] { group->wait(work); }),
              HasSubstr("all ranks must come to all_to_all_v #12 (64 bytes); rank 1 waited 2000 ms"));
  EXPECT_EQ(time.pauses, 21);
  EXPECT_EQ(count("abort"), 1);
}

TEST_F(NcclGroupTest, AFailedCallInsideACollectiveIsNotFollowedByOthers) {
  auto group = open();
  script->answers["send"] = {NcclStatus::failed};
  message<PeerError>([&] { start(*group); });
  EXPECT_EQ(script->log.back(), "abort");
  EXPECT_EQ(count("end") + count("mark"), 0);
}

TEST_F(NcclGroupTest, PollSeesErrorsToo) {
  script->polls_until_ended = 1;
  auto group = open();
  const NcclGroup::Work work = start(*group);
  EXPECT_FALSE(group->poll(work));
  EXPECT_TRUE(group->poll(work));
  script->answers["state"] = {NcclStatus::failed};
  message<PeerError>([&] { group->poll(work); });
}

TEST_F(NcclGroupTest, WorkLeftUnderWayIsAbortedAtTheEnd) {
  auto group = open();
  start(*group);
  group.reset();
  EXPECT_EQ(script->log.back(), "abort");
}

TEST_F(NcclGroupTest, AnExceptionOnItsWayAborts) {
  try {
    auto group = open();
    throw DataError("planted");
  } catch (const DataError&) {
  }
  EXPECT_EQ(script->log.back(), "abort");
}

TEST_F(NcclGroupTest, AnEndThatFailsIsAborted) {
  auto group = open();
  script->answers["finish"] = {NcclStatus::failed};
  group.reset();
  EXPECT_EQ(script->log.back(), "abort");
}

}  // namespace
}  // namespace switchyard::test
