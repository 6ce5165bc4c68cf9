#include "parallel/watchdog/record/recorder.h"

#include <algorithm>
#include <chrono>

namespace switchyard::parallel {

namespace {

// The parts of a step that every rank does alike. What only one of them does (metrics, log) is left out.
bool belongs_to_step(kernels::Phase phase) {
  return phase >= kernels::Phase::data && phase <= kernels::Phase::update;
}

}  // namespace

std::int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Recorder::account(std::int64_t now) {
  if (!is_waiting_ && belongs_to_step(event_.place.phase)) busy_ns_ += now - last_ns_;
  last_ns_ = now;
}

void Recorder::add(EventKind kind) {
  event_.kind = kind;
  event_.time_ns = last_ns_;
  ++event_.sequence;
  is_waiting_ = event_.is_waiting();
  ring_.add(event_);
  status_.current.write(event_);
}

void Recorder::add(EventKind kind, std::string_view communicator, const Call& call) {
  account(monotonic_ns());
  event_.collective = call.kind;
  event_.call = call.sequence;
  event_.bytes = call.bytes;
  event_.group = {};
  std::copy_n(communicator.begin(), std::min(communicator.size(), event_.group.size()), event_.group.begin());
  add(kind);
}

void Recorder::entered(const kernels::Place& place) {
  account(monotonic_ns());
  if (belongs_to_step(event_.place.phase) && !belongs_to_step(place.phase)) {
    StepTime& time = status_.steps[static_cast<std::size_t>(event_.place.step) % RankStatus::kStepTimes];
    time.busy_ns.store(busy_ns_, std::memory_order_relaxed);
    time.step.store(event_.place.step, std::memory_order_release);
    busy_ns_ = 0;
  }
  event_.place = place;
  add(EventKind::place);
}

void Recorder::entered(std::string_view communicator, const Call& call) {
  add(EventKind::entered, communicator, call);
}
void Recorder::started(std::string_view communicator, const Call& call) {
  add(EventKind::started, communicator, call);
}
void Recorder::waits(std::string_view communicator, const Call& call) {
  add(EventKind::waits, communicator, call);
}
void Recorder::left(std::string_view communicator, const Call& call) {
  add(EventKind::left, communicator, call);
}

void Recorder::closing() {
  account(monotonic_ns());
  add(EventKind::closing);
}

}  // namespace switchyard::parallel
