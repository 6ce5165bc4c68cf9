#include "parallel/communicators/local_world.h"

#include <fmt/format.h>

#include "kernels/runtime/error.h"

namespace switchyard::parallel {

namespace {

std::string text_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "unknown failure";
  }
}

bool is_peer_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const PeerError&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

bool LocalWorld::Wait::over() const {
  const std::size_t ranks = meeting->offers.size();
  return phase == Phase::arrive ? meeting->arrived == ranks : meeting->done == ranks;
}

std::shared_ptr<LocalMeeting> LocalWorld::post(LocalGroup& group, int rank, const LocalOffer& offer) {
  const std::lock_guard held(lock_);
  auto& slot = group.meetings[offer.call.sequence];
  if (!slot) slot = std::make_shared<LocalMeeting>(group.members.size());
  std::shared_ptr<LocalMeeting> meeting = slot;
  meeting->offers[static_cast<std::size_t>(rank)] = offer;
  meeting->offers[static_cast<std::size_t>(rank)].posted = true;
  if (++meeting->arrived == group.members.size()) {
    group.meetings.erase(offer.call.sequence);
    changed_.notify_all();
  }
  return meeting;
}

void LocalWorld::wait(std::unique_lock<std::mutex>& held, const LocalGroup& group, int rank,
                      LocalMeeting& meeting, Phase phase) {
  Wait& mine = waits_[static_cast<std::size_t>(group.members[static_cast<std::size_t>(rank)])];
  mine = {&group, &meeting, rank, phase};
  if (!mine.over() && !failed_) look_for_standstill();
  changed_.wait(held, [&] { return failed_ || mine.over(); });
  const bool over = mine.over();
  mine = {};
  // Once the world has failed a rank may have unwound the memory it offered, so reading must not begin.
  if (over && (phase == Phase::read || !failed_)) return;
  // Our own memory is about to be unwound: let those finish who read it.
  changed_.wait(held, [&] { return meeting.reading == 0; });
  throw PeerError(cause_);
}

void LocalWorld::meet(const LocalGroup& group, int rank, LocalMeeting& meeting,
                      kernels::FunctionRef<void()> read) {
  std::unique_lock held(lock_);
  wait(held, group, rank, meeting, Phase::arrive);
  ++meeting.reading;
  held.unlock();
  std::exception_ptr failure;
  try {
    read();
  } catch (...) {
    failure = std::current_exception();
  }
  held.lock();
  --meeting.reading;
  if (failure) {
    // Told before our memory goes away: nobody may begin to read now.
    fail(text_of(failure));
    changed_.notify_all();
    changed_.wait(held, [&] { return meeting.reading == 0; });
    std::rethrow_exception(failure);
  }
  ++meeting.done;
  if (meeting.done == meeting.offers.size() || failed_) changed_.notify_all();
  wait(held, group, rank, meeting, Phase::read);
}

bool LocalWorld::complete(const LocalMeeting& meeting) {
  const std::lock_guard held(lock_);
  return meeting.arrived == meeting.offers.size();
}

void LocalWorld::abandon(const LocalGroup& group, int rank, LocalMeeting& meeting) {
  std::unique_lock held(lock_);
  const Call& call = meeting.offers[static_cast<std::size_t>(rank)].call;
  fail(fmt::format("communicator {}: rank {} gave up {} before it had ended", group.name, rank, call.text()));
  changed_.wait(held, [&] { return meeting.reading == 0; });
}

void LocalWorld::fail(const std::string& cause) {
  if (failed_) return;
  failed_ = true;
  cause_ = cause;
  changed_.notify_all();
}

std::string LocalWorld::waits_text() const {
  std::string text;
  for (std::size_t r = 0; r < waits_.size(); ++r) {
    if (!text.empty()) text += "; ";
    if (ended_[r]) {
      text += fmt::format("rank {} has returned", r);
      continue;
    }
    const Wait& wait = waits_[r];
    text +=
        fmt::format("rank {} waits in {} of {}", r,
                    wait.meeting->offers[static_cast<std::size_t>(wait.rank)].call.text(), wait.group->name);
  }
  return text;
}

void LocalWorld::look_for_standstill() {
  bool somebody_waits = false;
  for (std::size_t r = 0; r < waits_.size(); ++r) {
    if (ended_[r]) continue;
    if (waits_[r].meeting == nullptr || waits_[r].over()) return;
    somebody_waits = true;
  }
  if (somebody_waits) fail("all ranks must enter the same collectives in the same order; " + waits_text());
}

void LocalWorld::end(int world_rank, std::exception_ptr failure) {
  const std::lock_guard held(lock_);
  ended_[static_cast<std::size_t>(world_rank)] = true;
  if (!failure) {
    if (!failed_) look_for_standstill();
    return;
  }
  // A rank that only heard of it, from us or through NCCL, may be gone before the one that caused it.
  if (!thrown_ || (is_peer_error(thrown_) && !is_peer_error(failure))) thrown_ = failure;
  fail(fmt::format("rank {} failed: {}", world_rank, text_of(failure)));
}

void LocalWorld::rethrow() const {
  if (thrown_) std::rethrow_exception(thrown_);
}

}  // namespace switchyard::parallel
