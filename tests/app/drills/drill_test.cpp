#include "app/drills/drill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <thread>

#include "app/drills/drills.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

using kernels::Phase;
using kernels::Site;
using parallel::Collective;
using testing::AllOf;
using testing::HasSubstr;

TEST(ParseDrill, TakesEveryKindAndKey) {
  const Drill plain = parse_drill("kill");
  EXPECT_EQ(plain.kind, DrillKind::kill);
  EXPECT_EQ(plain.rank, 0);
  EXPECT_FALSE(plain.step.has_value());
  EXPECT_EQ(std::get<Phase>(plain.phase), Phase::forward);

  const Drill stop = parse_drill("stop@rank=3,step=17,phase=all_to_all_v,layer=2");
  EXPECT_EQ(stop.kind, DrillKind::stop);
  EXPECT_EQ(stop.rank, 3);
  EXPECT_EQ(stop.step, 17);
  EXPECT_EQ(std::get<Collective>(stop.phase), Collective::all_to_all_v);
  EXPECT_EQ(stop.layer, 2);

  EXPECT_EQ(parse_drill("term@rank=all").rank, -1);
  EXPECT_DOUBLE_EQ(parse_drill("slow@speed=0.7").speed, 0.7);
  EXPECT_EQ(parse_drill("nan@site=router_gradient,layer=1").site, Site::router_gradient);
  EXPECT_EQ(parse_drill("flip").site, Site::weights);
  EXPECT_EQ(parse_drill("flip@site=moments").site, Site::moments);
  EXPECT_EQ(parse_drill("disk@errno=EIO").error_number, EIO);
  EXPECT_EQ(parse_drill("disk").error_number, ENOSPC);
  for (const char* kind : {"crash", "abort", "leave", "hang", "error"})
    EXPECT_EQ(drill_name(parse_drill(kind).kind), kind);
  for (int phase = 0; phase < kernels::kPhases; ++phase) {
    const std::string name(phase_name(static_cast<Phase>(phase)));
    EXPECT_EQ(std::get<Phase>(parse_drill("hang@phase=" + name).phase), static_cast<Phase>(phase));
  }
}

struct Wrong {
  const char* text;
  std::vector<std::string> named;  // in the message
};

TEST(ParseDrill, RefusesWithWhatWouldBeRight) {
  const std::vector<Wrong> all = {{"explode@rank=1", {"explode", "kill", "flip", "disk"}},
                                  {"", {"kind must be one of"}},
                                  {"kill@", {"key=value"}},
                                  {"kill@rank", {"key=value", "rank"}},
                                  {"kill@rank=-1", {"rank", "-1"}},
                                  {"kill@rank=1x", {"1x"}},
                                  {"kill@step=", {"step"}},
                                  {"kill@phase=lunch", {"lunch", "forward", "all_reduce"}},
                                  {"kill@speed=0.5", {"speed", "rank, step, phase, layer"}},
                                  {"kill@rank=1,rank=2", {"once"}},
                                  {"slow@speed=1.5", {"between 0 and 1"}},
                                  {"slow@speed=nan", {"between 0 and 1"}},
                                  {"slow@speed=0", {"between 0 and 1"}},
                                  {"slow@speed=fast", {"between 0 and 1"}},
                                  {"slow@speed=0.5x", {"between 0 and 1"}},
                                  {"nan@site=weights", {"weights", "router_gradient"}},
                                  {"flip@site=loss", {"loss", "moments"}},
                                  {"disk@errno=ENOENT", {"ENOENT", "ENOSPC"}},
                                  {"kill@step=99999999999999999999", {"step"}}};
  for (const Wrong& wrong : all) {
    try {
      parse_drill(wrong.text);
      ADD_FAILURE() << wrong.text;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string("--inject ") + wrong.text));
      for (const std::string& part : wrong.named) EXPECT_THAT(error.what(), HasSubstr(part)) << wrong.text;
    }
  }
}

class Nobody : public kernels::PlaceObserver, public parallel::CollectiveObserver {
 public:
  void entered(const kernels::Place&) override { ++told; }
  void entered(std::string_view, const parallel::Call&) override { ++told; }
  void left(std::string_view, const parallel::Call&) override { ++told; }
  int told = 0;
};

TEST(Drills, SpoilOneValueOfTheNamedSiteOnce) {
  Nobody nobody;
  Drills drills(
      {parse_drill("nan@rank=1,step=5,site=experts,layer=1"), parse_drill("nan@rank=0,step=5,site=norm")}, 1,
      nobody, nobody);
  std::vector<float> values(6, 1.0F);
  const TensorView view(values.data(), DType::f32, {2, 3});
  const auto spoilt = [&] {
    return std::ranges::count_if(values, [](float value) { return std::isnan(value); });
  };
  drills.computed(Site::experts, {Phase::forward, 4, 0, 1}, view);
  drills.computed(Site::experts, {Phase::forward, 5, 0, 0}, view);
  drills.computed(Site::attention, {Phase::forward, 5, 0, 1}, view);
  drills.computed(Site::norm, {Phase::forward, 5, 0, 1}, view);
  drills.computed(Site::experts, {Phase::forward, 5, 0, 1}, TensorView(nullptr, DType::f32, {0, 3}));
  EXPECT_EQ(spoilt(), 0);
  drills.computed(Site::experts, {Phase::forward, 5, 0, 1}, view);
  EXPECT_EQ(spoilt(), 1);
  drills.computed(Site::experts, {Phase::forward, 5, 0, 1}, view);
  EXPECT_EQ(spoilt(), 1);
}

TEST(Drills, FlipOneBitThatStaysANumber) {
  Nobody nobody;
  Drills drills({parse_drill("flip@step=2")}, 0, nobody, nobody);
  std::vector<float> values(40, 0.5F);
  drills.entered(kernels::Place{Phase::forward, 2, 0, -1});  // values are struck only where they are made
  drills.computed(Site::weights, {Phase::update, 2, -1, -1}, TensorView(values.data(), DType::f32, {40}));
  EXPECT_EQ(std::ranges::count(values, 0.5F), 39);
  for (const float value : values) EXPECT_NEAR(value, 0.5F, 0.1F);
}

TEST(Drills, StrikeValuesInBf16) {
  Nobody nobody;
  Drills drills({parse_drill("nan@step=1,site=experts"), parse_drill("flip@step=2")}, 0, nobody, nobody);
  std::vector<BFloat16> values(40, BFloat16(0.5F));
  const TensorView view(values.data(), DType::bf16, {40});
  const auto kept = [&] {
    return std::ranges::count_if(values, [](BFloat16 value) { return static_cast<float>(value) == 0.5F; });
  };
  drills.computed(Site::weights, {Phase::update, 2, -1, -1}, view);
  EXPECT_EQ(kept(), 39);
  for (const BFloat16 value : values) EXPECT_NEAR(static_cast<float>(value), 0.5F, 0.1F);
  drills.computed(Site::experts, {Phase::forward, 1, 0, 0}, view);
  EXPECT_EQ(kept(), 38);
  EXPECT_EQ(
      std::ranges::count_if(values, [](BFloat16 value) { return std::isnan(static_cast<float>(value)); }), 1);
}

TEST(Drills, StrikeValuesInF64) {
  Nobody nobody;
  Drills drills({parse_drill("nan@step=1,site=loss")}, 0, nobody, nobody);
  std::vector<double> values(40, 0.5);
  drills.computed(Site::loss, {Phase::forward, 1, 0, 0}, TensorView(values.data(), DType::f64, {40}));
  EXPECT_EQ(std::ranges::count_if(values, [](double value) { return std::isnan(value); }), 1);
  EXPECT_EQ(std::ranges::count(values, 0.5), 39);
}

TEST(Drills, SlowWorkDownButNotWaiting) {
  Nobody nobody;
  Drills drills({parse_drill("slow@speed=0.5")}, 0, nobody, nobody);
  const auto seconds_of = [](auto work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto rest = [] { std::this_thread::sleep_for(std::chrono::milliseconds(40)); };
  const parallel::Call call{Collective::all_to_all_v, 0, 0, 0};
  drills.entered(kernels::Place{Phase::forward, 3, 0, 1});
  rest();
  EXPECT_GE(seconds_of([&] { drills.entered("world", call); }), 0.039) << "as much again";
  rest();
  EXPECT_LT(seconds_of([&] { drills.started("world", call); }), 0.03) << "it waited";
  rest();
  EXPECT_GE(seconds_of([&] { drills.waits("world", call); }), 0.039);
  rest();
  EXPECT_LT(seconds_of([&] { drills.left("world", call); }), 0.03);
}

TEST(Drills, StrikeAfterTheFollowerWasTold) {
  Nobody nobody;
  Drills drills({parse_drill("error@step=3,phase=backward,layer=1")}, 0, nobody, nobody);
  drills.entered(kernels::Place{Phase::backward, 2, 0, 1});
  drills.entered(kernels::Place{Phase::forward, 3, 0, 1});
  drills.entered(kernels::Place{Phase::backward, 3, 0, 0});
  EXPECT_EQ(nobody.told, 3);
  EXPECT_THROW(drills.entered(kernels::Place{Phase::backward, 3, 0, 1}), InternalError);
  EXPECT_EQ(nobody.told, 4);
  drills.entered(kernels::Place{Phase::backward, 3, 0, 1});
}

TEST(Drills, OfCollectivesStrikeWhereTheyAreEntered) {
  Nobody nobody;
  Drills drills({parse_drill("error@phase=all_reduce")}, 0, nobody, nobody);
  drills.entered(kernels::Place{Phase::forward, 3, 0, 1});
  drills.entered("world", {Collective::barrier, 0, 0, 0});
  EXPECT_THROW(drills.entered("world", {Collective::all_reduce, 0, 0, 0}), InternalError);
  drills.entered("world", {Collective::all_reduce, 0, 0, 0});  // once
}

TEST(Drills, ATermIsASignalToTheOwnProcess) {
  static std::sig_atomic_t received = 0;
  const auto before = std::signal(SIGTERM, [](int signal) { received = signal; });
  Nobody nobody;
  Drills drills({parse_drill("term@step=3")}, 0, nobody, nobody);
  drills.entered(kernels::Place{Phase::forward, 3, 0, 1});
  std::signal(SIGTERM, before);
  EXPECT_EQ(received, SIGTERM);
}

TEST(Drills, OfAllRanksStrikeThisOneAndThoseOfValuesNoPlace) {
  Nobody nobody;
  Drills drills({parse_drill("error@rank=all,step=4"), parse_drill("nan@step=3"), parse_drill("flip@step=3")},
                7, nobody, nobody);
  drills.entered(kernels::Place{Phase::forward, 3, 0, 1});
  EXPECT_THROW(drills.entered(kernels::Place{Phase::forward, 4, 0, 1}), InternalError);
}

}  // namespace
}  // namespace switchyard::app
