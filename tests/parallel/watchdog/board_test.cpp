#include "parallel/watchdog/record/board.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include "parallel/watchdog/record/recorder.h"

namespace switchyard::parallel {
namespace {

using kernels::Phase;

TEST(EventRing, KeepsTheLastThousandInOrder) {
  const auto ring = std::make_unique<EventRing>();
  std::vector<Event> out(EventRing::kEvents);
  EXPECT_EQ(ring->read(out.data()), 0);
  Event event;
  for (event.sequence = 1; event.sequence <= 2345; ++event.sequence) ring->add(event);
  ASSERT_EQ(ring->read(out.data()), EventRing::kEvents);
  for (std::int64_t i = 0; i < EventRing::kEvents; ++i)
    ASSERT_EQ(out[static_cast<std::size_t>(i)].sequence, 2345 - EventRing::kEvents + 1 + i);
}

TEST(SharedEvent, GivesBackWhatWasWritten) {
  SharedEvent shared;
  Event event, read;
  EXPECT_FALSE(shared.read(read));
  event.sequence = 12;
  event.time_ns = -5;
  event.kind = EventKind::waits;
  event.place = {Phase::backward, 1LL << 40, 3, -1};
  event.collective = Collective::all_to_all_v;
  event.call = 99;
  event.bytes = 1LL << 50;
  event.group = {'e', 'x', 'p', 'e', 'r', 't', 's', '!'};
  shared.write(event);
  ASSERT_TRUE(shared.read(read));
  EXPECT_EQ(read.sequence, 12);
  EXPECT_EQ(read.time_ns, -5);
  EXPECT_EQ(read.kind, EventKind::waits);
  EXPECT_EQ(read.place.phase, Phase::backward);
  EXPECT_EQ(read.place.step, 1LL << 40);
  EXPECT_EQ(read.place.unit, 3);
  EXPECT_EQ(read.place.layer, -1);
  EXPECT_EQ(read.collective, Collective::all_to_all_v);
  EXPECT_EQ(read.call, 99);
  EXPECT_EQ(read.bytes, 1LL << 50);
  EXPECT_EQ(read.group_name(), "experts!");
  EXPECT_EQ(read.what(), "waits in all_to_all_v #99 of experts!");
}

TEST(SharedEvent, IsNeverReadTorn) {
  SharedEvent shared;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    Event event;
    for (event.sequence = 1; !stop; ++event.sequence) {
      event.call = event.bytes = event.time_ns = event.place.step = event.sequence;
      shared.write(event);
    }
  });
  Event read;
  int whole = 0;
  while (whole < 20'000) {
    if (!shared.read(read)) continue;
    ++whole;
    ASSERT_TRUE(read.call == read.sequence && read.bytes == read.sequence && read.time_ns == read.sequence &&
                read.place.step == read.sequence)
        << read.sequence;
  }
  stop = true;
  writer.join();
}

// Two mappings of one event that lies across a page's end. Whoever touches its second half through the first
// mapping is stopped there, between two words, while the other side acts through the second.
class StoppedBetweenWords {
 public:
  explicit StoppedBetweenWords(std::function<void(SharedEvent&)> meanwhile)
      : meanwhile_(std::move(meanwhile)) {
    const int memory = ::memfd_create("event", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(memory, 2 * kPage), 0);
    for (char*& view : views_)
      view = static_cast<char*>(::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
    ::close(memory);
    inside() = new (views_[0] + kOffset) SharedEvent;
    current_ = this;
    struct sigaction action {};
    action.sa_handler = [](int) { current_->fault(); };
    ::sigaction(SIGSEGV, &action, &before_);
  }
  ~StoppedBetweenWords() {
    ::sigaction(SIGSEGV, &before_, nullptr);
    for (char* view : views_) ::munmap(view, 2 * kPage);
  }
  StoppedBetweenWords(const StoppedBetweenWords&) = delete;
  StoppedBetweenWords& operator=(const StoppedBetweenWords&) = delete;

  SharedEvent*& inside() { return event_; }
  SharedEvent& outside() { return *reinterpret_cast<SharedEvent*>(views_[1] + kOffset); }
  /// The next touch of the second half through inside() stops.
  void arm() { ::mprotect(views_[0] + kPage, kPage, PROT_NONE); }
  bool has_stopped() const { return has_stopped_; }

 private:
  static constexpr std::size_t kPage = 4096, kOffset = kPage - sizeof(SharedEvent) / 2;
  void fault() {
    ::mprotect(views_[0] + kPage, kPage, PROT_READ | PROT_WRITE);
    has_stopped_ = true;
    meanwhile_(outside());
  }
  static inline StoppedBetweenWords* current_ = nullptr;
  std::function<void(SharedEvent&)> meanwhile_;
  std::array<char*, 2> views_{};
  SharedEvent* event_ = nullptr;
  struct sigaction before_ {};
  bool has_stopped_ = false;
};

Event numbered(std::int64_t number) {
  Event event;
  event.sequence = event.call = event.bytes = event.time_ns = event.place.step = number;
  return event;
}

TEST(SharedEvent, AReaderThatIsOvertakenKnowsIt) {
  StoppedBetweenWords memory([](SharedEvent& event) { event.write(numbered(2)); });
  memory.inside()->write(numbered(1));
  memory.arm();
  Event read;
  EXPECT_FALSE(memory.inside()->read(read)) << "half of it is of event 1, half of event 2";
  EXPECT_TRUE(memory.has_stopped());
  ASSERT_TRUE(memory.inside()->read(read));
  EXPECT_EQ(read.bytes, 2);
}

TEST(SharedEvent, AnEventThatIsBeingWrittenIsNotRead) {
  bool is_read = true;
  StoppedBetweenWords memory([&](SharedEvent& event) {
    Event read;
    is_read = event.read(read);
  });
  memory.inside()->write(numbered(1));
  memory.arm();
  memory.inside()->write(numbered(2));
  EXPECT_TRUE(memory.has_stopped());
  EXPECT_FALSE(is_read) << "half of it is of event 1, half of event 2";
}

TEST(Board, AdoptsNoMemoryThatIsTooSmallOrClaimsTooMuch) {
  std::string name;
  const auto adopts = [](const Board& board) {
    const int descriptor = ::dup(board.descriptor());
    const bool is_board = Board::adopt(descriptor) != nullptr;
    EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1) << "left open";
    return is_board;
  };
  const auto board = Board::make(3, 2, name);
  Board::unlink(name);
  EXPECT_TRUE(adopts(*board));
  for (const auto& [ranks, rings] : {std::pair<std::int64_t, std::int64_t>{4, 2},
                                     {3, 3},
                                     {0, 0},
                                     {-1, 0},
                                     {3, -1},
                                     {1 << 30, 1},
                                     {3, 4},
                                     {1LL << 62, 0}}) {
    board->header().ranks = ranks;
    board->header().rings = rings;
    EXPECT_FALSE(adopts(*board)) << ranks << " ranks, " << rings << " rings";
  }
  board->header().ranks = 3;
  board->header().rings = 2;
  struct stat status {};
  ASSERT_EQ(::fstat(board->descriptor(), &status), 0);
  ASSERT_EQ(::ftruncate(board->descriptor(), status.st_size - 1), 0);
  EXPECT_FALSE(adopts(*board)) << "one byte short";
  board->header().magic ^= 1;
  ASSERT_EQ(::ftruncate(board->descriptor(), status.st_size), 0);
  EXPECT_FALSE(adopts(*board)) << "of another kind";
  ASSERT_EQ(::ftruncate(board->descriptor(), 0), 0);
  EXPECT_FALSE(adopts(*board)) << "empty";
  EXPECT_EQ(Board::adopt(-1), nullptr);
}

/// What Board::make or open says while the process may not have more of a resource.
template <typename Make>
std::string refusal_within(__rlimit_resource resource, rlim_t limit, Make make) {
  rlimit before{};
  EXPECT_EQ(::getrlimit(resource, &before), 0);
  rlimit small = before;
  small.rlim_cur = limit;
  std::string refusal(200, ' ');  // no memory is to be needed below
  refusal.clear();
  EXPECT_EQ(::setrlimit(resource, &small), 0);
  try {
    make();
  } catch (const DeviceError& error) {
    ::setrlimit(resource, &before);
    refusal = error.what();
  }
  ::setrlimit(resource, &before);
  return refusal;
}

std::size_t shared_memories() {
  const auto ours = [](const auto& entry) {
    return entry.path().filename().string().starts_with("switchyard-");
  };
  return static_cast<std::size_t>(
      std::ranges::count_if(std::filesystem::directory_iterator("/dev/shm"), ours));
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST(Board, SaysWhatItCouldNotHaveAndLeavesNothingBehind) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors and memory of their own";
#endif
  std::signal(SIGXFSZ, SIG_IGN);
  const std::size_t before = shared_memories();
  const std::ptrdiff_t open_before = open_descriptors();
  std::string name;
  const auto make = [&] { Board::make(3, 2, name); };
  EXPECT_THAT(refusal_within(RLIMIT_NOFILE, 0, make), testing::HasSubstr("making it: Too many open files"));
  EXPECT_THAT(refusal_within(RLIMIT_FSIZE, 100, make), testing::HasSubstr("reserving it: File too large"));
  EXPECT_THAT(refusal_within(RLIMIT_AS, 1, make), testing::HasSubstr("mapping it: Cannot allocate memory"));
  EXPECT_EQ(shared_memories(), before);
  EXPECT_EQ(open_descriptors(), open_before);
  const auto mine = Board::make(3, 2, name);
  EXPECT_THAT(refusal_within(RLIMIT_AS, 1, [&] { Board::open(name, 3, 2); }),
              testing::HasSubstr("mapping it: Cannot allocate memory; make room in /dev/shm, or set "
                                 "watchdog.enable: false"));
  EXPECT_EQ(open_descriptors(), open_before + 1) << "that of the board";
  const int descriptor = ::dup(mine->descriptor());
  refusal_within(RLIMIT_AS, 1, [&] { EXPECT_EQ(Board::adopt(descriptor), nullptr); });
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1) << "left open";
  Board::unlink(name);
}

TEST(Board, IsSharedByName) {
  std::string name;
  const auto mine = Board::make(3, 2, name);
  const auto other = Board::open(name, 3, 2);
  Board::unlink(name);
  EXPECT_THROW(Board::open(name, 3, 2), DeviceError);
  mine->status(2).beats.store(5);
  EXPECT_EQ(other->status(2).beats.load(), 5U);
  Event event;
  event.sequence = 1;
  other->ring(1).add(event);
  std::vector<Event> out(EventRing::kEvents);
  EXPECT_EQ(mine->ring(1).read(out.data()), 1);
  EXPECT_EQ(mine->ring(0).read(out.data()), 0);

  const auto adopted = Board::adopt(::dup(mine->descriptor()));
  ASSERT_NE(adopted, nullptr);
  EXPECT_EQ(adopted->status(2).beats.load(), 5U);
  EXPECT_EQ(Board::adopt(::dup(STDERR_FILENO)), nullptr);
}

TEST(Board, FirstVerdictStays) {
  std::string name;
  const auto board = Board::make(2, 2, name);
  Board::unlink(name);
  EXPECT_TRUE(claim_verdict(board->verdict(), Fate::hung, 1, 7, std::string(1000, 'x')));
  EXPECT_FALSE(claim_verdict(board->verdict(), Fate::dead, 0, 8, "late"));
  EXPECT_EQ(board->verdict().rank.load(), 1);
  EXPECT_EQ(board->verdict().exit_code.load(), 7);
  EXPECT_EQ(verdict_reason(board->verdict()), std::string(511, 'x'));
}

TEST(Recorder, TellsWaitingFromWork) {
  const auto status = std::make_unique<RankStatus>();
  const auto ring = std::make_unique<EventRing>();
  Recorder recorder(*status, *ring);
  const auto current = [&] {
    Event event;
    EXPECT_TRUE(status->current.read(event));
    return event;
  };
  const auto rest = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  const Call call{Collective::all_reduce, 4, 0, 64};
  recorder.entered({Phase::data, 3, 0, -1});
  rest();  // work
  recorder.entered("world", call);
  EXPECT_TRUE(current().is_waiting());
  rest();
  rest();
  recorder.left("world", call);
  EXPECT_FALSE(current().is_waiting());
  recorder.entered("world", call);
  recorder.started("world", call);
  EXPECT_FALSE(current().is_waiting());
  rest();  // work beside the collective
  recorder.waits("world", call);
  EXPECT_TRUE(current().is_waiting());
  rest();
  rest();
  recorder.left("world", call);
  recorder.entered({Phase::agree, 3, -1, -1});
  rest();  // no part of the step
  recorder.entered({Phase::data, 4, -1, -1});
  EXPECT_EQ(status->steps[3].step.load(), 3);
  const double seconds = static_cast<double>(status->steps[3].busy_ns.load()) * 1e-9;
  EXPECT_GE(seconds, 0.04);
  EXPECT_LT(seconds, 0.075);
  EXPECT_EQ(current().where(), "step 4, data");
  recorder.closing();
  EXPECT_TRUE(current().is_waiting());
}

}  // namespace
}  // namespace switchyard::parallel
