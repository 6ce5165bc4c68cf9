// Where a rank says it is, and which values it shows, over a short run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "app/config/load.h"
#include "app/exit_code.h"
#include "app/train/trainer.h"
#include "kernels/runtime/place.h"
#include "parallel/communicators/local.h"
#include "tests/support/workshop.h"

namespace switchyard::app {
namespace {

using kernels::Phase;
using kernels::Site;

class Follower : public kernels::PlaceObserver, public kernels::Probe {
 public:
  void entered(const kernels::Place& place) override { places.push_back(place); }
  void computed(Site site, const kernels::Place& place, TensorView values) override {
    seen.emplace(place.step, site);
    dtypes[site].insert(values.dtype());
  }
  std::vector<kernels::Place> places;
  std::set<std::pair<std::int64_t, Site>> seen;
  std::map<Site, std::set<DType>> dtypes;
};

Follower follow(const std::vector<std::string>& more) {
  const test::Workshop workshop;
  std::vector<std::string> settings = {"data.train=" + (workshop / "data").string(),
                                       "run.directory=" + (workshop / "run").string()};
  settings.emplace_back("optimizer.schedule.warmup_steps=0");
  settings.insert(settings.end(), more.begin(), more.end());
  const Config config = load_config(workshop / "tiny.yaml", settings);
  std::filesystem::create_directories(config.run.directory);
  const auto world = parallel::single_rank();
  Follower follower;
  TrainOptions options{.quiet = true};
  options.place_observer = &follower;
  options.probe = &follower;
  EXPECT_EQ(run_training(config, *world, options), kExitDone);
  return follower;
}

std::vector<std::string> words(const Follower& follower, std::int64_t step) {
  std::vector<std::string> words;
  for (const kernels::Place& place : follower.places)
    if (place.step == step)
      words.push_back(fmt::format("{} {} {}", phase_name(place.phase), place.unit, place.layer));
  return words;
}

TEST(Places, AreToldInTheOrderOfAStep) {
  const Follower follower = follow({"train.steps=2", "train.global_batch=4", "train.evaluate_every=1",
                                    "train.evaluate_batches=1", "checkpoint.every=1"});
  EXPECT_EQ(words(follower, 0), (std::vector<std::string>{"start -1 -1", "resume -1 -1"}));
  std::vector<std::string> expected;
  for (const char* unit : {"0", "1"})
    for (const char* place : {"data {} -1", "forward {} -1", "forward {} 0", "forward {} 1", "backward {} -1",
                              "backward {} 1", "backward {} 0"})
      expected.push_back(fmt::format(fmt::runtime(place), unit));
  const std::vector<std::string> after = {"reduce -1 -1",  "update -1 -1",  "agree -1 -1", "evaluate -1 -1",
                                          "evaluate -1 0", "evaluate -1 1", "save -1 -1",  "agree -1 -1"};
  expected.insert(expected.end(), after.begin(), after.end());
  std::vector<std::string> first = words(follower, 1);
  ASSERT_GE(first.size(), expected.size());
  first.resize(expected.size());  // whether the save has ended by then is a matter of time
  EXPECT_EQ(first, expected);
  EXPECT_EQ(words(follower, 2).back(), "exit -1 -1");
}

TEST(Probes, SeeEverySiteInEveryStep) {
  const Follower follower = follow({"train.steps=2"});
  for (int site = 0; site < kernels::kSites; ++site)
    for (const std::int64_t step : {1, 2})
      EXPECT_TRUE(follower.seen.contains({step, static_cast<Site>(site)}))
          << site_name(static_cast<Site>(site)) << " in step " << step;
  for (const auto& [site, dtypes] : follower.dtypes)
    EXPECT_EQ(dtypes, std::set{site == Site::loss ? DType::f64 : DType::f32}) << site_name(site);
}

TEST(Probes, SeeValuesInBf16WhereTheRunHasThem) {
  const Follower follower = follow({"train.steps=1", "train.precision=bf16"});
  for (const auto& [site, dtypes] : follower.dtypes) {
    const bool decides = site == Site::router || site == Site::router_gradient || site == Site::moments;
    const std::set<DType> expected = site == Site::loss      ? std::set{DType::f64}
                                     : site == Site::weights ? std::set{DType::f32, DType::bf16}
                                     : decides               ? std::set{DType::f32}
                                                             : std::set{DType::bf16};
    EXPECT_EQ(dtypes, expected) << site_name(site);
  }
  EXPECT_EQ(follower.dtypes.size(), static_cast<std::size_t>(kernels::kSites));
}

TEST(PlaceNames, AreUniqueAndFoundAgain) {
  std::set<std::string_view> names;
  for (int i = 0; i < kernels::kPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    names.insert(phase_name(phase));
    EXPECT_EQ(kernels::phase_named(phase_name(phase)), phase);
  }
  for (int i = 0; i < kernels::kSites; ++i) {
    const auto site = static_cast<Site>(i);
    names.insert(site_name(site));
    EXPECT_EQ(kernels::site_named(site_name(site)), site);
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kernels::kPhases + kernels::kSites));
  EXPECT_FALSE(kernels::phase_named("Forward").has_value());
}

}  // namespace
}  // namespace switchyard::app
