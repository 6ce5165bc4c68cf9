// A few training steps of a small model on one layout, everything recorded.
#pragma once

#include <functional>
#include <memory>

#include "app/config/config.h"
#include "app/verify/capture.h"
#include "kernels/runtime/broken_rule.h"
#include "parallel/communicators/communicator.h"
#include "parallel/communicators/mpi.h"

namespace switchyard::app {

/// `config` with every switch that changes numbers kept and every size made small: a step takes milliseconds,
/// but each expert axis of `verify` divides the experts, and 12 units share a step.
Config scaled_down(const Config& config);

struct LayoutSpec {
  int ranks = 1;
  int expert_axis = 1;
  int threads = 1;
  bool recompute = false;
  std::int64_t exchange_rows = 0;  ///< bound of received rows, 0 = none
  std::int64_t resume_at = 0;      ///< go on after this step from the state given; 0 = from the start
};

/// Ways for a test to break a rule; empty ones do nothing.
struct LayoutHooks {
  std::function<std::unique_ptr<parallel::Communicator>(parallel::Communicator&)> wrap;
  std::function<std::int64_t(std::int64_t seed, int rank)> seed;
  kernels::BrokenRule rule = kernels::BrokenRule::none;
};

inline constexpr std::int64_t kVerifySteps = 3;

/// Runs the steps of an already scaled-down configuration on `world` (spec.ranks ranks), on the device of
/// run.device. `place`: of this rank, which shares out the host's GPUs. `resume_state`: the state after step
/// spec.resume_at. Collective; the capture is whole on every rank.
Capture run_layout(const Config& config, const LayoutSpec& spec, parallel::Communicator& world,
                   const parallel::HostPlace& place = {}, const GlobalTensors* resume_state = nullptr,
                   const LayoutHooks& hooks = {});

}  // namespace switchyard::app
