#include "parallel/communicators/device/nccl/nccl_group.h"

#include <fmt/format.h>

#include <exception>
#include <thread>

#include "kernels/runtime/error.h"

namespace switchyard::parallel {

PollClock::PollClock()
    : pause([polls = 0]() mutable {
        constexpr int kEagerPolls = 1000;  // a collective of a layer takes less than a sleep
        if (++polls < kEagerPolls) {
          std::this_thread::yield();
        } else {
          std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
      }) {}

NcclGroup::NcclGroup(std::unique_ptr<NcclCalls> calls, const NcclId& id, std::string name, int rank, int size,
                     const NcclLimits& limits, PollClock clock)
    : calls_(std::move(calls)),
      name_(std::move(name)),
      rank_(rank),
      limits_(limits),
      clock_(std::move(clock)) {
  const auto deadline = clock_.now() + limits_.start;
  settle(calls_->start(id, rank, size), fmt::format("its start with {} ranks", size), deadline);
  life_ = Life::ready;
}

NcclGroup::~NcclGroup() {
  if (life_ == Life::aborted) return;
  if (life_ != Life::ready || begun_ != done_ || std::uncaught_exceptions() > 0) {
    calls_->abort();
    return;
  }
  try {
    settle(calls_->finish(), "its end", clock_.now() + limits_.start);
    calls_->release();
  } catch (const Error&) {
    // settle() has aborted it: the peers' own errors tell the story.
  }
}

NcclGroup::Work NcclGroup::start(const Call& call, const std::function<NcclStatus(NcclCalls&)>& issue) {
  const std::string what = call.text();
  check_alive(what);
  const auto begun = clock_.now();
  const auto deadline = begun + limits_.collective;
  calls_->follow_caller();
  settle(calls_->begin(), what, deadline);
  settle(issue(*calls_), what, deadline);
  settle(calls_->end(), what, deadline);
  ++begun_;
  return {call, calls_->mark(), begun};
}

bool NcclGroup::advance(const Work& work) {
  check_alive(work.call.text());
  const NcclStatus status = calls_->state();
  if (status != NcclStatus::success && status != NcclStatus::in_progress) fail(work.call.text(), status);
  if (!calls_->ended(work.mark)) {
    if (clock_.now() - work.begun > limits_.collective) time_out(work.call.text(), limits_.collective);
    return false;
  }
  return true;
}

bool NcclGroup::poll(const Work& work) {
  return advance(work);
}

void NcclGroup::wait(const Work& work) {
  while (!advance(work)) clock_.pause();
  ++done_;
}

void NcclGroup::settle(NcclStatus status, const std::string& what,
                       std::chrono::steady_clock::time_point deadline) {
  const auto begun = clock_.now();
  while (status == NcclStatus::in_progress) {
    if (clock_.now() > deadline)
      time_out(what, std::chrono::duration_cast<std::chrono::milliseconds>(deadline - begun));
    clock_.pause();
    status = calls_->state();
  }
  if (status != NcclStatus::success) fail(what, status);
}

void NcclGroup::check_alive(const std::string& what) const {
  if (life_ != Life::aborted) return;
  throw PeerError(fmt::format("communicator {}: rank {} cannot enter {}: it was aborted: {}", name_, rank_,
                              what, why_aborted_));
}

void NcclGroup::fail(const std::string& what, NcclStatus status) {
  const std::string reason = calls_->reason();
  abort(fmt::format("{}: {}", what, reason));
  throw PeerError(fmt::format(
      "communicator {}: rank {} in {}: NCCL reports {}: {}. NCCL_DEBUG=WARN says more", name_, rank_, what,
      status == NcclStatus::remote_error ? "that another rank failed" : "an error", reason));
}

void NcclGroup::time_out(const std::string& what, std::chrono::milliseconds limit) {
  abort(fmt::format("{}: no end within {} ms", what, limit.count()));
  throw HangError(
      fmt::format("communicator {}: all ranks must come to {}; rank {} waited {} ms. A rank hangs or entered "
                  "another collective",
                  name_, what, rank_, limit.count()));
}

void NcclGroup::abort(const std::string& why) {
  life_ = Life::aborted;
  why_aborted_ = why;
  calls_->abort();
}

}  // namespace switchyard::parallel
