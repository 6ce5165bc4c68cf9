#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include "app/watch/flight_report.h"
#include "kernels/runtime/error.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using kernels::Phase;
using parallel::Event;
using parallel::EventKind;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Event event(std::int64_t sequence, EventKind kind, Phase phase, std::int64_t step, std::int64_t call = 0) {
  Event event;
  event.sequence = sequence;
  event.time_ns = sequence * 1'000'000;
  event.kind = kind;
  event.place = {phase, step, 2, 1};
  event.collective = parallel::Collective::all_reduce;
  event.call = call;
  event.bytes = 64;
  event.group = {'w', 'o', 'r', 'l', 'd'};
  return event;
}

FlightRecord record(std::int64_t rank, std::vector<Event> events) {
  FlightRecord record;
  record.rank = rank;
  record.ranks = 3;
  record.host = "node7";
  record.why = "rank 1 hangs";
  record.written_ns = 2'000'000'000;
  record.events = std::move(events);
  return record;
}

TEST(FlightFile, RoundTripsWithHostileText) {
  const test::Folder folder;
  const FlightWriter writer(folder / "flight/now", 3);
  std::vector<Event> events;
  for (std::int64_t i = 1; i <= parallel::EventRing::kEvents; ++i)
    events.push_back(event(i, i % 2 == 0 ? EventKind::entered : EventKind::place, Phase::reduce, i / 7, i));
  events.back().kind = EventKind::closing;
  ASSERT_TRUE(writer.write({1, "node\"7\\", 42}, events, "a \"quoted\"\nreason \x01\x7f"));
  const auto files = std::distance(std::filesystem::directory_iterator(folder / "flight/now"), {});
  EXPECT_EQ(files, 1) << "nothing is left beside it";
  const FlightRecord read = read_flight(folder / "flight/now/rank-1.json");
  EXPECT_EQ(read.rank, 1);
  EXPECT_EQ(read.ranks, 3);
  EXPECT_EQ(read.process, 42);
  EXPECT_EQ(read.host, "node\"7\\");
  EXPECT_EQ(read.why, "a \"quoted\"\nreason ??");
  ASSERT_EQ(read.events.size(), events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(read.events[i].sequence, events[i].sequence);
    EXPECT_EQ(read.events[i].time_ns, events[i].time_ns);
    EXPECT_EQ(read.events[i].what(), events[i].what());
    EXPECT_EQ(read.events[i].where(), events[i].where());
  }
  EXPECT_EQ(newest_flight(folder / "flight"), folder / "flight/now");
  EXPECT_EQ(read_flights(folder / "flight/now").size(), 1U);
}

TEST(FlightFile, DiskThatRefusesIsSaid) {
  const test::Folder folder;
  test::write_file(folder / "file", "x");
  EXPECT_FALSE(FlightWriter(folder / "file/flight", 1).write({}, {}, ""));
  std::filesystem::create_directories(folder / "flight/rank-0.json/in the way");
  EXPECT_FALSE(FlightWriter(folder / "flight", 1).write({0, "h", 1}, {}, ""));
}

TEST(FlightFile, HalfAFileDoesNotGetTheName) {
  const test::Folder folder;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 10'000;
  const std::vector<Event> events(parallel::EventRing::kEvents, event(1, EventKind::waits, Phase::reduce, 1));
  const FlightWriter writer(folder / "flight", 1);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const bool is_written = writer.write({0, "node7", 1}, events, "why");
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FALSE(is_written);
  EXPECT_FALSE(std::filesystem::exists(folder / "flight/rank-0.json"));
}

TEST(FlightFile, FoldersAreReadForWhatTheyHold) {
  const test::Folder folder;
  EXPECT_THROW(FlightWriter(std::string(4000, 'x'), 1), UserError);
  test::write_file(folder / "flight/rank-x.txt", "");
  test::write_file(folder / "flight/other.json", "");
  EXPECT_EQ(newest_flight(folder / "flight"), folder / "flight") << "no folder of a time";
  EXPECT_THROW(read_flights(folder / "flight"), UserError);
  for (const char* name : {"flight/2026-01-01T00-00-00", "flight/2026-01-02T00-00-00"})
    for (const std::int64_t rank : {1, 0})
      ASSERT_TRUE(FlightWriter(folder / name, 2).write({rank, "h", 1}, {}, ""));
  EXPECT_EQ(newest_flight(folder / "flight"), folder / "flight/2026-01-02T00-00-00");
  const auto records = read_flights(folder / "flight/2026-01-02T00-00-00");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].rank, 0);
}

TEST(FlightFile, OtherFilesAreRefusedByName) {
  const test::Folder folder;
  const std::vector<std::string> bad = {
      "",
      "{",
      "[]",
      "{}",
      R"({"switchyard_flight": 2})",
      R"({"switchyard_flight": 1, "rank": 0, "ranks": 1, "process": 1, "host": "h",
                                            "why": "", "written_ns": 0, "events": [[1, 2, "flies"]]})",
      R"({"switchyard_flight": 1, "rank": 0, "ranks": 1, "process": 1, "host": "h",
                                            "why": "", "written_ns": 0, "events": [[1, 2, "place", "forward"]]})"};
  for (const std::string& text : bad) {
    test::write_file(folder / "rank-0.json", text);
    try {
      read_flight(folder / "rank-0.json");
      FAIL() << text;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("rank-0.json")) << text;
    }
  }
  EXPECT_THROW(read_flights(folder.path() / "none"), std::exception);
}

TEST(FlightReport, NamesTheRankThatTheOthersWaitFor) {
  const std::vector<FlightRecord> records = {record(0, {event(1, EventKind::place, Phase::reduce, 5),
                                                        event(2, EventKind::entered, Phase::reduce, 5, 9)}),
                                             record(1, {event(1, EventKind::place, Phase::backward, 5)}),
                                             record(2, {event(2, EventKind::entered, Phase::reduce, 5, 9)})};
  EXPECT_EQ(ranks_behind(records), (std::vector<std::int64_t>{1}));
  const std::string text = flight_report(records, 20);
  EXPECT_THAT(text, AllOf(HasSubstr("behind: rank 1\n"), HasSubstr("node7"), HasSubstr("rank 1 hangs"),
                          HasSubstr("> all_reduce #9 world"), HasSubstr("backward, layer 1")));
  EXPECT_THAT(text, HasSubstr("5 micro-batch 2, reduce, layer 1"));
  for (const char* title : {"rank 0", "rank 1", "rank 2"}) EXPECT_THAT(text, HasSubstr(title));
  EXPECT_THAT(flight_report(records, 1), Not(HasSubstr("5 micro-batch 2, reduce, layer 1")));
}

TEST(FlightReport, ShowsEveryKindOfEventAndRanksWithout) {
  Event outside = event(1, EventKind::place, Phase::agree, 6);
  outside.place.unit = outside.place.layer = -1;
  const std::vector<FlightRecord> records = {
      record(
          0,
          {outside, event(2, EventKind::entered, Phase::reduce, 6, 8),
           event(3, EventKind::started, Phase::reduce, 6, 8), event(4, EventKind::waits, Phase::reduce, 6, 8),
           event(5, EventKind::left, Phase::reduce, 6, 8), event(6, EventKind::closing, Phase::exit, 6)}),
      record(1, {})};
  const std::string text = flight_report(records, 20);
  EXPECT_THAT(text,
              AllOf(HasSubstr("6 agree\n"), HasSubstr("6 > all_reduce #8 world"),
                    HasSubstr("6 started all_reduce #8 world"), HasSubstr("6 waits all_reduce #8 world"),
                    HasSubstr("6 < all_reduce #8 world"), HasSubstr("6 waits for all to close"),
                    HasSubstr("    no event\n"), HasSubstr("behind: rank 1\n")));
  EXPECT_TRUE(ranks_behind(std::vector<FlightRecord>{record(0, {}), record(1, {})}).empty());
}

TEST(FlightReport, AmongMovingRanksOneWithoutEventsIsBehind) {
  const std::vector<FlightRecord> records = {record(0, {event(1, EventKind::place, Phase::reduce, 5)}),
                                             record(1, {}),
                                             record(2, {event(1, EventKind::place, Phase::backward, 5)})};
  EXPECT_EQ(ranks_behind(records), (std::vector<std::int64_t>{1, 2}))
      << "rank 2 is the last of those that began";
}

TEST(FlightReport, AllWaitingNamesThoseFurthestBehind) {
  std::vector<FlightRecord> records = {record(0, {event(2, EventKind::entered, Phase::reduce, 5, 9)}),
                                       record(1, {event(2, EventKind::entered, Phase::reduce, 5, 8)}),
                                       record(2, {event(2, EventKind::entered, Phase::reduce, 5, 9)})};
  EXPECT_EQ(ranks_behind(records), (std::vector<std::int64_t>{1}));
  records[1] = records[0];
  EXPECT_TRUE(ranks_behind(records).empty());
  EXPECT_THAT(flight_report(records, 5), HasSubstr("nobody was behind"));
}

}  // namespace
}  // namespace switchyard::app
