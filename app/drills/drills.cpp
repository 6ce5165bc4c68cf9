#include "app/drills/drills.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <bit>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <thread>

#include "kernels/runtime/error.h"
#include "parallel/watchdog/record/recorder.h"

namespace switchyard::app {

namespace {

using kernels::Phase;

// An element that follows from the step alone, so that a drill can be repeated.
std::int64_t chosen_element(const kernels::Place& place, std::int64_t elements) {
  return (place.step * 7919 + 13) % elements;
}

void spoil(TensorView values, std::int64_t element) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  if (values.dtype() == DType::f64)
    values.data<double>()[element] = static_cast<double>(kNan);
  else if (values.dtype() == DType::bf16)
    values.data<BFloat16>()[element] = BFloat16(kNan);
  else
    values.data<float>()[element] = kNan;
}

void flip_bit(TensorView values, std::int64_t element) {
  constexpr std::uint32_t kBit = 1U << 20;  // of the mantissa: the value stays plausible
  if (values.dtype() == DType::bf16) {
    values.data<BFloat16>()[element].bits ^= kBit >> 16;
    return;
  }
  float& value = values.data<float>()[element];
  value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ kBit);
}

// Of the kinds that are one signal to the own process.
int signal_of(DrillKind kind) {
  if (kind == DrillKind::kill) return SIGKILL;
  if (kind == DrillKind::crash) return SIGSEGV;
  return kind == DrillKind::stop ? SIGSTOP : SIGTERM;
}

}  // namespace

Drills::Drills(const std::vector<Drill>& drills, int rank, kernels::PlaceObserver& places,
               parallel::CollectiveObserver& collectives)
    : rank_(rank), places_(places), collectives_(collectives), io_(real_) {
  for (const Drill& drill : drills)
    if (drill.rank == -1 || drill.rank == rank) armed_.push_back({drill});
}

bool Drills::is_due(const Armed& armed, const kernels::Place& place) const {
  const Drill& drill = armed.drill;
  return !armed.is_spent && (!drill.step || *drill.step == place.step) &&
         (!drill.layer || *drill.layer == place.layer);
}

void Drills::entered(const kernels::Place& place) {
  slow_down(is_waiting_);
  place_ = place;
  places_.entered(place);
  for (Armed& armed : armed_) {
    const DrillKind kind = armed.drill.kind;
    if (kind == DrillKind::nan || kind == DrillKind::flip || !is_due(armed, place)) continue;
    const Phase* phase = std::get_if<Phase>(&armed.drill.phase);
    // The disk fails in a save; a slow rank is slow from the step's first place on.
    if (kind == DrillKind::disk ? place.phase == Phase::save
                                : kind == DrillKind::slow || (phase != nullptr && *phase == place.phase))
      strike(armed);
  }
}

void Drills::entered(std::string_view communicator, const parallel::Call& call) {
  slow_down(is_waiting_);
  is_waiting_ = true;
  collectives_.entered(communicator, call);
  for (Armed& armed : armed_) {
    const auto* collective = std::get_if<parallel::Collective>(&armed.drill.phase);
    if (collective != nullptr && *collective == call.kind && is_due(armed, place_)) strike(armed);
  }
}

void Drills::started(std::string_view communicator, const parallel::Call& call) {
  slow_down(is_waiting_);
  is_waiting_ = false;
  collectives_.started(communicator, call);
}

void Drills::waits(std::string_view communicator, const parallel::Call& call) {
  slow_down(is_waiting_);
  is_waiting_ = true;
  collectives_.waits(communicator, call);
}

void Drills::left(std::string_view communicator, const parallel::Call& call) {
  slow_down(is_waiting_);
  is_waiting_ = false;
  collectives_.left(communicator, call);
}

void Drills::computed(kernels::Site site, const kernels::Place& place, TensorView values) {
  if (values.elements() == 0) return;  // a rank without rows: the next values of the site are meant
  for (Armed& armed : armed_) {
    const bool is_nan = armed.drill.kind == DrillKind::nan;
    if ((!is_nan && armed.drill.kind != DrillKind::flip) || armed.drill.site != site || !is_due(armed, place))
      continue;
    armed.is_spent = true;
    const std::int64_t element = chosen_element(place, values.elements());
    spdlog::warn("drill: rank {}, step {}: {} in {}, element {}", rank_, place.step,
                 drill_name(armed.drill.kind), site_name(site), element);
    is_nan ? spoil(values, element) : flip_bit(values, element);
  }
}

// What the rank did since the last event takes as much longer as a slower machine would.
void Drills::slow_down(bool was_waiting) {
  if (speed_ < 1 && !was_waiting) {
    const double spent = static_cast<double>(parallel::monotonic_ns() - last_ns_) * 1e-9;
    std::this_thread::sleep_for(std::chrono::duration<double>(spent * (1 / speed_ - 1)));
  }
  last_ns_ = parallel::monotonic_ns();
}

void Drills::strike(Armed& armed) {
  armed.is_spent = true;
  const DrillKind kind = armed.drill.kind;
  spdlog::warn("drill: rank {}, step {}, {}: {}", rank_, place_.step, phase_name(place_.phase),
               drill_name(kind));
  switch (kind) {
    case DrillKind::kill:
    case DrillKind::crash:
    case DrillKind::stop:
    case DrillKind::term:
      std::raise(signal_of(kind));
      break;
    case DrillKind::abort:
      std::abort();
    case DrillKind::leave:
      std::_Exit(0);
    case DrillKind::hang:
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    case DrillKind::slow:
      speed_ = armed.drill.speed;
      break;
    case DrillKind::error:
      throw InternalError("a drill asked for this failure (--inject error)");
    case DrillKind::disk:
      io_.arm({.call = data::IoCall::write, .index = 0, .number = armed.drill.error_number});
      break;
    case DrillKind::nan:
    case DrillKind::flip:
      break;
  }
}

}  // namespace switchyard::app
