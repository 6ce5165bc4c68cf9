#include "app/verify/verify.h"

#include <fmt/format.h>

#include <chrono>

#include "app/train/messages.h"
#include "kernels/runtime/clock.h"
#include "parallel/communicators/local.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::app {

namespace {

std::string layout_name(int ranks, int axis) {
  return fmt::format("{} rank{}, expert axis {}", ranks, ranks == 1 ? "" : "s", axis);
}

bool fits(const Config& small, int ranks, int axis) {
  if (axis == 1) return true;
  return small.model.moe.experts > 0 && ranks % axis == 0 && small.model.moe.experts % axis == 0;
}

// A unit's rows all at one rank would be N K; a quarter of that, but at least one gradient block.
std::int64_t tight_rows(const Config& small) {
  const std::int64_t rows = small.train.micro_batch * small.data.sequence_length * small.model.moe.top_k;
  return std::max<std::int64_t>(kernels::kGradientBlockRows, rows / 4);
}

}  // namespace

std::vector<VerifyCase> local_cases(const Config& small, bool all) {
  std::vector<VerifyCase> cases;
  const auto add = [&](LayoutSpec spec, const std::string& note) {
    if (fits(small, spec.ranks, spec.expert_axis))
      cases.push_back({layout_name(spec.ranks, spec.expert_axis) + note, spec});
  };
  add({1, 1, 1}, ", again");
  add({1, 1, 2}, ", 2 threads");
  add({1, 1, 1, true}, ", recompute");
  for (const auto& [ranks, axis] : {std::pair{2, 1}, {2, 2}, {3, 3}, {4, 2}, {4, 4}, {5, 1}, {6, 3}})
    add({ranks, axis, 1}, "");
  if (all)
    for (const auto& [ranks, axis] : {std::pair{4, 1}, {6, 2}, {6, 6}, {8, 4}, {12, 12}})
      add({ranks, axis, 1}, "");
  add({4, 2, 2, true}, ", 2 threads, recompute");
  if (small.model.moe.experts > 0)
    add({4, 4, 1, false, tight_rows(small)}, fmt::format(", {} rows a round", tight_rows(small)));
  add({2, 2, 1, false, 0, 1}, ", resumed after step 1");
  add({3, 1, 1, false, 0, 2}, ", resumed after step 2");
  return cases;
}

std::vector<VerifyCase> world_cases(const Config& small, int ranks) {
  std::vector<VerifyCase> cases;
  for (const int axis : parallel::MeshLayout::possible_expert_axes(ranks, small.model.moe.experts)) {
    cases.push_back({layout_name(ranks, axis), {ranks, axis, 1}});
    cases.push_back({layout_name(ranks, axis) + ", recompute", {ranks, axis, 1, true}});
    cases.push_back({layout_name(ranks, axis) + ", resumed after step 1", {ranks, axis, 1, false, 0, 1}});
  }
  return cases;
}

namespace {

const GlobalTensors* resume_state(const Capture& reference, const LayoutSpec& spec) {
  return spec.resume_at == 0 ? nullptr : &reference[static_cast<std::size_t>(spec.resume_at - 1)].state;
}

}  // namespace

std::vector<Verdict> verify_on_threads(const Config& small, const std::vector<VerifyCase>& cases,
                                       const LayoutHooks& hooks,
                                       const std::function<void(const Verdict&)>& tell) {
  const std::unique_ptr<parallel::Communicator> alone = parallel::single_rank();
  const Capture reference = run_layout(small, {}, *alone);
  std::vector<Verdict> verdicts;
  for (const VerifyCase& one : cases) {
    const auto start = std::chrono::steady_clock::now();
    std::string difference;
    parallel::run_local(one.spec.ranks, [&](parallel::Communicator& world) {
      const parallel::HostPlace place{"", world.rank(), world.size()};
      const Capture found =
          run_layout(small, one.spec, world, place, resume_state(reference, one.spec), hooks);
      // The capture is the same on every rank; one comparison is enough.
      if (world.rank() == 0) difference = first_difference(reference, found);
    });
    verdicts.push_back({one, difference, kernels::seconds_since(start)});
    tell(verdicts.back());
  }
  return verdicts;
}

std::vector<Verdict> verify_on_world(const Config& small, const std::vector<VerifyCase>& cases,
                                     parallel::Communicator& world, const parallel::HostPlace& place,
                                     const std::function<void(const Verdict&)>& tell) {
  // Every rank makes the reference by itself: cheaper than sending it, and it shows that all hosts agree.
  const std::unique_ptr<parallel::Communicator> alone = parallel::single_rank();
  const Capture reference = run_layout(small, {}, *alone, place);
  std::vector<Verdict> verdicts;
  for (const VerifyCase& one : cases) {
    const auto start = std::chrono::steady_clock::now();
    const Capture found = run_layout(small, one.spec, world, place, resume_state(reference, one.spec));
    std::string difference;
    const std::vector<std::string> all = gather_texts(world, first_difference(reference, found));
    for (std::size_t rank = 0; rank < all.size() && difference.empty(); ++rank)
      if (!all[rank].empty()) difference = fmt::format("rank {}: {}", rank, all[rank]);
    verdicts.push_back({one, difference, kernels::seconds_since(start)});
    tell(verdicts.back());
  }
  return verdicts;
}

}  // namespace switchyard::app
