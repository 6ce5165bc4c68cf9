// Where a rank is in its work, told as it goes: the watchdog publishes it, fault drills strike at it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/runtime/tensor.h"

namespace switchyard::kernels {

/// The parts of a run, in the order in which they are met. The names are those of --inject and of reports.
enum class Phase : std::uint8_t {
  start,     ///< data is opened, the model is made
  resume,    ///< the newest checkpoint is looked for and loaded
  data,      ///< the next micro-batch is waited for
  forward,   ///< of a unit that is trained on
  backward,  ///< gradients of a unit
  reduce,    ///< sums of the step cross the ranks
  update,    ///< weights and moments change
  agree,     ///< metrics are written, all ranks agree whether to go on
  evaluate,
  save,
  exit,  ///< all is done but leaving together
};
inline constexpr int kPhases = 11;
std::string_view phase_name(Phase phase);
std::optional<Phase> phase_named(std::string_view name);

struct Place {
  Phase phase = Phase::start;
  std::int64_t step = 0;    ///< 1 is the first; 0 before it
  std::int32_t unit = -1;   ///< micro-batch of the step, over all ranks; -1 = none
  std::int32_t layer = -1;  ///< -1 = not in a block
};

/// Told of each new place, on the rank's own thread.
class PlaceObserver {
 public:
  virtual ~PlaceObserver() = default;
  virtual void entered(const Place& place) = 0;
};

/// Values that a probe sees, by where they were computed.
enum class Site : std::uint8_t {
  embedding,           ///< rows after the embedding
  attention,           ///< rows after a block's attention
  norm,                ///< normalised rows before router and experts or MLP
  router,              ///< weights of the chosen experts
  experts,             ///< rows that the experts gave back
  loss,                ///< of a unit
  head_gradient,       ///< of the rows before the final norm
  norm_gradient,       ///< of the rows between attention and experts
  experts_gradient,    ///< of the rows sent to the experts
  router_gradient,     ///< of the router's logits
  attention_gradient,  ///< of a block's input
  embedding_gradient,  ///< of the rows after the embedding
  weights,             ///< of each parameter, after the update
  moments,             ///< this rank's shard of the first or second, after the update
};
inline constexpr int kSites = 14;
std::string_view site_name(Site site);
std::optional<Site> site_named(std::string_view name);

/// Sees values as they are computed and may change them: how fault drills spoil numbers.
class Probe {
 public:
  virtual ~Probe() = default;
  /// `values` is f32 or bf16, or f64 for the loss; it may have no elements.
  virtual void computed(Site site, const Place& place, TensorView values) = 0;
};

/// A rank's place and who is told of it. Without observer or probe a call costs a comparison.
class PlaceTracker {
 public:
  const Place& now() const { return place_; }
  /// The observer and the probe must outlive their use here; nullptr takes them away.
  void set_observer(PlaceObserver* observer) { observer_ = observer; }
  void set_probe(Probe* probe) { probe_ = probe; }

  /// What the next enter() will tell beside the phase.
  void begin_step(std::int64_t step) { place_.step = step; }
  void begin_unit(std::int64_t unit) { place_.unit = static_cast<std::int32_t>(unit); }
  /// A new phase, outside any block.
  void enter(Phase phase) {
    place_.phase = phase;
    enter_layer(-1);
  }
  /// A block of the same phase.
  void enter_layer(std::int64_t layer) {
    place_.layer = static_cast<std::int32_t>(layer);
    if (observer_ != nullptr) observer_->entered(place_);
  }
  void computed(Site site, TensorView values) {
    if (probe_ != nullptr) probe_->computed(site, place_, values);
  }
  void computed(Site site, double& value) {
    if (probe_ != nullptr) probe_->computed(site, place_, TensorView(&value, DType::f64, {1}));
  }

 private:
  Place place_;
  PlaceObserver* observer_ = nullptr;
  Probe* probe_ = nullptr;
};

}  // namespace switchyard::kernels
