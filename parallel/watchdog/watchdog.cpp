#include "parallel/watchdog/watchdog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

namespace {

constexpr std::chrono::milliseconds kBeat(100);
// A watcher that has missed some beats is worth a look at its process.
constexpr double kMissedBeats = 0.35;
constexpr double kActivitySeconds = 0.01;
// How long the last words may take: keeping records, waiting for the one that prints.
constexpr std::chrono::milliseconds kRecordPatience(700);
constexpr std::chrono::milliseconds kPrintPatience(2000);
// A failing rank ends all others at once; if it cannot, they leave by themselves.
constexpr double kFailingPatience = 5;

double seconds_of(std::int64_t ns) {
  return static_cast<double>(ns) * 1e-9;
}

double processor_seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// What each rank says of itself when the board is opened.
struct Introduction {
  std::array<char, 64> host{};
  std::array<char, 128> identity{};
  ProcessId process;
};

template <std::size_t size>
void copy_text(std::array<char, size>& to, const std::string& text) {
  std::copy_n(text.data(), std::min(text.size(), size - 1), to.data());
}

template <typename T>
std::vector<T> gather(Communicator& world, const T& mine) {
  std::vector<T> all(static_cast<std::size_t>(world.size()));
  world.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  return all;
}

template <typename Holds>
void wait_until(std::chrono::milliseconds patience, Holds holds) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!holds() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

struct Watchdog::Thread {
  std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  std::thread thread;
};

Watchdog::Watchdog(Communicator& world, const std::string& host, const WatchdogOptions& options,
                   WatchdogActions actions, const GuardianLink& guardian)
    : options_(options),
      actions_(std::move(actions)),
      rank_(world.rank()),
      judge_(world.size(), options.limits),
      slow_(world.size(), options.slow_ratio, options.slow_steps) {
  introduce(world, host);
  if (options_.is_enabled && world.size() > 1) open_board(world);
  if (board_ == nullptr) {
    own_status_ = std::make_unique<RankStatus>();
    own_ring_ = std::make_unique<EventRing>();
    recorder_ = std::make_unique<Recorder>(*own_status_, *own_ring_);
    return;
  }
  guardian.show(*board_, rank_);
  recorder_ = std::make_unique<Recorder>(board_->status(rank_),
                                         board_->ring(places_[static_cast<std::size_t>(rank_)].ring));
  thread_ = std::make_unique<Thread>();
  // Signals are for the rank's own thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_->thread = std::thread([this] { watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watchdog::~Watchdog() {
  status(rank_).life.store(static_cast<std::uint64_t>(Life::finished), std::memory_order_release);
  if (thread_ == nullptr) return;
  {
    const std::lock_guard lock(thread_->mutex);
    thread_->stop = true;
  }
  thread_->wake.notify_all();
  thread_->thread.join();
  if (channel_ != nullptr) channel_->flush();
}

RankStatus& Watchdog::status(std::int64_t rank) const {
  return board_ != nullptr ? board_->status(rank) : *own_status_;
}

void Watchdog::introduce(Communicator& world, const std::string& host) {
  Introduction mine;
  copy_text(mine.host, host);
  copy_text(mine.identity, host_identity());
  mine.process = own_process();
  const std::vector<Introduction> all = gather(world, mine);
  std::int64_t rings = 0;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const auto same = [&](std::size_t other) {
      return options_.ranks_as_hosts ? other == rank : all[other].identity == all[rank].identity;
    };
    std::size_t first = 0;
    while (!same(first)) ++first;
    const bool is_here = same(static_cast<std::size_t>(rank_));
    places_.push_back({static_cast<std::int64_t>(rank), all[rank].host.data(), all[rank].process,
                       is_here ? rings++ : -1, static_cast<std::int64_t>(first)});
  }
}

void Watchdog::open_board(Communicator& world) {
  const auto here = [](const RankPlace& place) { return place.ring >= 0; };
  const auto rings = std::ranges::count_if(places_, here);
  const std::int64_t maker = std::ranges::find_if(places_, here)->rank;
  std::array<char, 64> name{};
  std::string failure, text;
  if (maker == rank_) {
    try {
      board_ = Board::make(world.size(), rings, text);
      copy_text(name, text);
    } catch (const Error& error) {
      failure = error.what();
    }
  }
  const std::vector<std::array<char, 64>> names = gather(world, name);
  if (maker != rank_ && names[static_cast<std::size_t>(maker)][0] != '\0') {
    try {
      board_ = Board::open(names[static_cast<std::size_t>(maker)].data(), world.size(), rings);
    } catch (const Error& error) {
      failure = error.what();
    }
  }
  const bool failed = world.all_reduce_or(board_ == nullptr);
  if (maker == rank_ && name[0] != '\0') Board::unlink(name.data());
  if (!failed) connect_hosts(world);
  if (failed)
    throw DeviceError(failure.empty() ? "watchdog: another rank could not open the shared memory of its host"
                                      : failure);
}

void Watchdog::connect_hosts(Communicator& world) {
  sees_all_ = true;
  std::vector<std::int64_t> hosts;
  for (const RankPlace& place : places_) hosts.push_back(place.first);
  if (std::ranges::all_of(hosts, [](std::int64_t first) { return first == 0; })) return;
  std::string failure;
  channel_ = SideChannel::connect(world, *board_, std::move(hosts), options_.ranks_as_hosts, failure);
  sees_all_ = failure.empty();
  if (!sees_all_ && rank_ == 0) actions_.warn("watchdog: each host watches its own ranks only: " + failure);
}

void Watchdog::watch() {
  std::unique_lock lock(thread_->mutex);
  while (!thread_->wake.wait_for(lock, kBeat, [this] { return thread_->stop; })) look();
}

std::vector<Sight> Watchdog::sights() {
  std::vector<Sight> sights(places_.size());
  for (const RankPlace& place : places_) {
    Sight& sight = sights[static_cast<std::size_t>(place.rank)];
    const RankStatus& of = status(place.rank);
    sight.life = static_cast<Life>(of.life.load(std::memory_order_acquire));
    sight.is_here = place.ring >= 0;
    sight.is_seen = sight.is_here || sees_all_;
    sight.beats = of.beats.load(std::memory_order_relaxed);
    sight.activity = of.activity.load(std::memory_order_relaxed);
    if (!of.current.read(sight.current) && !last_sights_.empty())
      sight.current = last_sights_[static_cast<std::size_t>(place.rank)].current;
    const bool knows = place.process.start_ticks != 0;
    if (sight.is_here && knows && judge_.silent_seconds(place.rank) > kMissedBeats)
      sight.process = state_of(place.process);
  }
  last_sights_ = sights;
  return sights;
}

void Watchdog::look() {
  RankStatus& own = status(rank_);
  own.beats.fetch_add(1, std::memory_order_relaxed);
  const double used =
      processor_seconds(CLOCK_PROCESS_CPUTIME_ID) - processor_seconds(CLOCK_THREAD_CPUTIME_ID);
  own.activity.store(static_cast<std::uint64_t>(used / kActivitySeconds), std::memory_order_relaxed);

  constexpr std::uint64_t kLooksPerFrame = 5;
  if (channel_ != nullptr) channel_->exchange(looks_ % kLooksPerFrame == 0);
  ++looks_;

  const std::vector<Sight> seen = sights();
  if (peer_fails()) return;
  SharedVerdict& shared = board_->verdict();
  if (const auto verdict = judge_.look(seconds_of(monotonic_ns()), seen)) {
    const int code = verdict->fate == Fate::hung ? options_.hung_code : options_.dead_code;
    claim_verdict(shared, verdict->fate, verdict->rank, code, verdict->reason);
  }
  if (shared.fate.load(std::memory_order_acquire) != static_cast<std::uint64_t>(Fate::none)) leave();
  if (rank_ != 0 || !sees_all_) return;
  if (const auto slow = slow_.look(*board_))
    actions_.warn(fmt::format(
        "rank {} on {} is slow: its work in steps {} to {} took {:.2f} times the median of the other ranks'",
        slow->rank, places_[static_cast<std::size_t>(slow->rank)].host, slow->first_step, slow->last_step,
        slow->ratio));
}

// While another rank ends all with an error of its own, this one only keeps its record.
bool Watchdog::peer_fails() {
  const auto failing = std::ranges::find(last_sights_, Life::failing, &Sight::life);
  if (failing == last_sights_.end()) return false;
  const std::int64_t who = failing - last_sights_.begin();
  const double now = seconds_of(monotonic_ns());
  if (fails_since_ < 0) {
    fails_since_ = now;
    if (who != rank_) record(rank_, fmt::format("rank {} failed", who));
  }
  if (who != rank_ && now - fails_since_ > kFailingPatience)
    std::_Exit(static_cast<int>(status(who).exit_code.load()));
  return true;
}

void Watchdog::record(std::int64_t rank, const std::string& why) {
  const RankPlace& place = places_[static_cast<std::size_t>(rank)];
  RankStatus& of = status(rank);
  if (of.recorded.exchange(1) != 0) return;
  std::vector<Event> events(EventRing::kEvents);
  const EventRing& ring = board_ != nullptr ? board_->ring(place.ring) : *own_ring_;
  events.resize(static_cast<std::size_t>(ring.read(events.data())));
  actions_.record(place, events, why);
  of.recorded.store(2, std::memory_order_release);
}

void Watchdog::wait_for_records() {
  wait_until(kRecordPatience, [this] {
    return std::ranges::all_of(places_, [this](const RankPlace& place) {
      const RankStatus& of = status(place.rank);
      const auto life = static_cast<Life>(of.life.load());
      return place.ring < 0 || life == Life::finished || of.recorded.load(std::memory_order_acquire) == 2;
    });
  });
}

std::string Watchdog::verdict_text() const {
  const SharedVerdict& shared = board_->verdict();
  const std::int64_t rank = shared.rank.load();
  const RankPlace& culprit = places_[static_cast<std::size_t>(rank)];
  const bool hung = static_cast<Fate>(shared.fate.load()) == Fate::hung;
  std::string reason = verdict_reason(shared);
  if (const auto signal = status(rank).end_signal.load(); !hung && signal != 0)
    reason =
        fmt::format("its process was ended by signal {} ({})", signal, strsignal(static_cast<int>(signal)));
  const Event& last = last_sights_[static_cast<std::size_t>(rank)].current;
  std::string text = fmt::format("rank {} on {} (process {}) {}: {}\nit was in {}{}", rank, culprit.host,
                                 culprit.process.pid, hung ? "hangs" : "was lost", reason, last.where(),
                                 last.is_waiting() ? ", and " + last.what() : "");
  constexpr std::size_t kShown = 4;
  std::size_t shown = 0, waiting = 0;
  for (const RankPlace& place : places_) {
    const Event& event = last_sights_[static_cast<std::size_t>(place.rank)].current;
    if (place.rank == rank || !event.is_waiting()) continue;
    ++waiting;
    if (shown == kShown) continue;
    ++shown;
    text += fmt::format("\nrank {} {} ({})", place.rank, event.what(), event.where());
  }
  if (waiting > shown) text += fmt::format("\nand {} more ranks wait", waiting - shown);
  return text;
}

// One of the hosts: the first that is not the culprit's. Where hosts do not hear each other, each.
bool Watchdog::this_host_prints(const RankPlace& culprit) const {
  const std::int64_t own = places_[static_cast<std::size_t>(rank_)].first;
  if (!sees_all_) return true;
  for (const RankPlace& place : places_)
    if (place.first != culprit.first) return place.first == own;
  return true;
}

void Watchdog::leave() {
  SharedVerdict& shared = board_->verdict();
  const std::int64_t culprit = shared.rank.load();
  const RankPlace& place = places_[static_cast<std::size_t>(culprit)];
  const auto fate = static_cast<Fate>(shared.fate.load());
  const bool is_chief = culprit != rank_ && shared.told.exchange(1) == 0;
  const std::string reason = verdict_reason(shared);
  record(rank_, culprit == rank_ ? reason : fmt::format("rank {}: {}", culprit, reason));
  if (channel_ != nullptr) channel_->flush();  // the other hosts hear the verdict
  if (is_chief) {
    if (place.ring >= 0) {
      if (fate == Fate::hung) kill_process(place.process);
      // Its guardian, if it has one, knows which signal it was.
      if (fate == Fate::dead)
        wait_until(std::chrono::milliseconds(200), [&] { return status(culprit).end_signal.load() != 0; });
      // Its own watcher may have begun its record and been ended in the middle of it.
      std::uint64_t begun = 1;
      status(culprit).recorded.compare_exchange_strong(begun, 0);
      record(culprit, reason);
    }
    wait_for_records();
    if (this_host_prints(place))
      actions_.tell(fate, verdict_text());
    else
      std::this_thread::sleep_for(kPrintPatience / 2);
    shared.printed.store(1, std::memory_order_release);
  } else {
    wait_until(kPrintPatience, [&] { return shared.printed.load() != 0; });
  }
  // No streams are flushed: the rank's own thread may hold one of their locks for ever.
  std::_Exit(static_cast<int>(shared.exit_code.load()));
}

void Watchdog::failing(int exit_code, const std::string& cause) {
  RankStatus& own = status(rank_);
  own.exit_code.store(exit_code);
  own.life.store(static_cast<std::uint64_t>(Life::failing), std::memory_order_release);
  record(rank_, cause);
  if (board_ != nullptr) wait_for_records();
}

}  // namespace switchyard::parallel
