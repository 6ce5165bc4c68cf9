#include "tests/distributed/conformance.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <thread>

#include "kernels/runtime/error.h"
#include "kernels/runtime/random.h"

namespace switchyard::parallel {

namespace {

using Bytes = std::vector<std::byte>;
using Words = std::vector<std::int64_t>;

/// The byte that rank `from` means at `index` of message `tag`.
std::byte byte_at(int tag, int from, std::int64_t index) {
  return static_cast<std::byte>((tag * 131 + from * 37 + index * 7 + (index >> 8)) & 0xff);
}

Bytes message(int tag, int from, std::int64_t bytes) {
  Bytes result(static_cast<std::size_t>(bytes));
  for (std::int64_t i = 0; i < bytes; ++i) result[static_cast<std::size_t>(i)] = byte_at(tag, from, i);
  return result;
}

/// Equal on all ranks: sizes of pieces, many of them zero.
std::int64_t random_size(int seed, int a, int b, std::int64_t greatest) {
  const kernels::RandomStream stream(static_cast<std::uint64_t>(seed), "conformance sizes");
  const auto words = stream.words(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b));
  if (words[0] % 3 == 0) return 0;
  return static_cast<std::int64_t>(words[1] % static_cast<std::uint64_t>(greatest + 1));
}

/// Value i that rank `from` adds in sum `tag`.
std::int64_t word_at(int tag, int from, std::int64_t index) {
  return (index + 1) * (from + 3) * (tag % 2 == 0 ? 1 : -1) + (static_cast<std::int64_t>(tag) << 33) * from;
}

std::int64_t sum_at(int tag, int ranks, std::int64_t index) {
  std::int64_t sum = 0;
  for (int from = 0; from < ranks; ++from) sum += word_at(tag, from, index);
  return sum;
}

void barrier_waits_for_the_last(Communicator& world) {
  using std::chrono::steady_clock;
  const auto begin = steady_clock::now();
  for (int late = 0; late < world.size(); ++late) {
    world.barrier();
    const auto start = steady_clock::now();
    if (world.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(60));
    world.barrier();
    EXPECT_GE(steady_clock::now() - start, std::chrono::milliseconds(40)) << "rank " << late << " was late";
  }
  EXPECT_GE(steady_clock::now() - begin, std::chrono::milliseconds(60 * world.size()));
}

void broadcast_from_every_root(Communicator& world) {
  for (const std::int64_t bytes : {0, 1, 5, 4097}) {
    for (int root = 0; root < world.size(); ++root) {
      Bytes data = message(1, world.rank(), bytes);
      world.broadcast(data, root);
      EXPECT_EQ(data, message(1, root, bytes)) << "root " << root;
    }
  }
}

void all_gather_equal_pieces(Communicator& world) {
  for (const std::int64_t bytes : {0, 1, 7, 1000}) {
    Bytes all(static_cast<std::size_t>(bytes * world.size()));
    world.all_gather(message(2, world.rank(), bytes), all);
    Bytes expected;
    for (int from = 0; from < world.size(); ++from) {
      const Bytes piece = message(2, from, bytes);
      expected.insert(expected.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(all, expected);
  }
}

void gather_pieces(Communicator& world, const Words& sizes, int tag) {
  Bytes expected;
  std::int64_t own_begin = 0;
  for (int from = 0; from < world.size(); ++from) {
    if (from == world.rank()) own_begin = std::ssize(expected);
    const Bytes piece = message(tag, from, sizes[static_cast<std::size_t>(from)]);
    expected.insert(expected.end(), piece.begin(), piece.end());
  }
  const Bytes mine = message(tag, world.rank(), sizes[static_cast<std::size_t>(world.rank())]);
  Bytes all(expected.size());
  world.all_gather_v(mine, all, sizes);
  EXPECT_EQ(all, expected) << "apart";

  Bytes in_place(expected.size());
  std::copy(mine.begin(), mine.end(), in_place.begin() + own_begin);
  const auto own =
      std::span<const std::byte>(in_place).subspan(static_cast<std::size_t>(own_begin), mine.size());
  world.all_gather_v(own, in_place, sizes);
  EXPECT_EQ(in_place, expected) << "in place";
}

void all_gather_uneven_pieces(Communicator& world) {
  for (int round = 0; round < 6; ++round) {
    Words sizes;
    for (int from = 0; from < world.size(); ++from) {
      sizes.push_back(round == 0 ? 0 : random_size(3, round, from, 3000) * (round % 2 == 0 ? 8 : 1));
    }
    gather_pieces(world, sizes, 3 + round);
  }
}

void all_reduce_is_exact(Communicator& world) {
  for (const std::int64_t count : {0, 1, 3, 1000}) {
    Words values(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i)
      values[static_cast<std::size_t>(i)] = word_at(5, world.rank(), i);
    world.all_reduce_sum(values);
    for (std::int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(values[static_cast<std::size_t>(i)], sum_at(5, world.size(), i));
    }
  }
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Words extremes{world.rank() == 0 ? most : 0, world.rank() == 0 ? -most - 1 : 0};
  world.all_reduce_sum(extremes);
  EXPECT_EQ(extremes, (Words{most, -most - 1}));

  Words least{world.rank() * 5 - 7, -world.rank()};
  Words greatest = least;
  world.all_reduce_min(least);
  world.all_reduce_max(greatest);
  EXPECT_EQ(least, (Words{-7, 1 - world.size()}));
  EXPECT_EQ(greatest, (Words{(world.size() - 1) * 5 - 7, 0}));
}

void all_reduce_refuses_overflow_everywhere(Communicator& world) {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t value : {most, -most - 1}) {
    Words values{value};
    if (world.size() == 1) {
      world.all_reduce_sum(values);
      EXPECT_EQ(values[0], value);
    } else {
      EXPECT_THROW(world.all_reduce_sum(values), NumericsError);
    }
  }
  world.barrier();  // an overflow is a result, not a broken group
}

void all_reduce_or_of_any(Communicator& world) {
  EXPECT_FALSE(world.all_reduce_or(false));
  for (int who = 0; who < world.size(); ++who) EXPECT_TRUE(world.all_reduce_or(world.rank() == who));
}

struct SumCase {
  SumCase(Communicator& world, int case_tag, Words case_counts)
      : tag(case_tag), counts(std::move(case_counts)) {
    const auto self = static_cast<std::size_t>(world.rank());
    begin = std::accumulate(counts.begin(), counts.begin() + world.rank(), std::int64_t{0});
    in.resize(static_cast<std::size_t>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0})));
    for (std::size_t i = 0; i < in.size(); ++i) {
      in[i] = word_at(tag, world.rank(), static_cast<std::int64_t>(i));
    }
    out.resize(static_cast<std::size_t>(counts[self]));
  }
  void expect_sums(Communicator& world, std::span<const std::int64_t> sums) const {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      ASSERT_EQ(sums[i], sum_at(tag, world.size(), begin + static_cast<std::int64_t>(i)))
          << "rank " << world.rank() << " value " << i;
    }
  }
  int tag;
  Words counts, in, out;
  std::int64_t begin = 0;
};

void reduce_scatter_uneven_pieces(Communicator& world) {
  for (int round = 0; round < 6; ++round) {
    Words counts;
    for (int p = 0; p < world.size(); ++p) {
      counts.push_back(round == 0 ? 0 : random_size(7, round, p, round == 5 ? 150'000 : 500));
    }
    SumCase sums(world, round, counts);
    const Words before = sums.in;
    world.reduce_scatter(sums.in, sums.out, sums.counts);
    sums.expect_sums(world, sums.out);
    EXPECT_EQ(sums.in, before) << "the input is kept";

    const auto own = std::span(sums.in).subspan(static_cast<std::size_t>(sums.begin), sums.out.size());
    world.reduce_scatter(sums.in, own, sums.counts);
    sums.expect_sums(world, own);
  }
}

/// An exchange in which piece sizes vary, pieces lie apart from each other, and the last rank's come first.
struct ExchangeCase {
  ExchangeCase(Communicator& world, int case_tag, std::int64_t greatest) : tag(case_tag), size(world.size()) {
    std::int64_t send_at = 0;
    std::int64_t receive_at = 0;
    send_bytes.resize(static_cast<std::size_t>(size));
    send_offsets = receive_bytes = receive_offsets = send_bytes;
    for (int peer = size - 1; peer >= 0; --peer) {
      const auto p = static_cast<std::size_t>(peer);
      send_bytes[p] = random_size(tag, world.rank(), peer, greatest);
      receive_bytes[p] = random_size(tag, peer, world.rank(), greatest);
      send_offsets[p] = send_at;
      receive_offsets[p] = receive_at;
      send_at += send_bytes[p] + 3;
      receive_at += receive_bytes[p] + 2;
    }
    send.resize(static_cast<std::size_t>(send_at));
    for (int peer = 0; peer < size; ++peer) {
      const auto p = static_cast<std::size_t>(peer);
      const Bytes piece = message(tag + peer, world.rank(), send_bytes[p]);
      std::copy(piece.begin(), piece.end(), send.begin() + send_offsets[p]);
    }
    receive.assign(static_cast<std::size_t>(receive_at), std::byte{0xee});
  }
  ExchangeSizes sizes() const { return {send_bytes, send_offsets, receive_bytes, receive_offsets}; }
  void expect_received(Communicator& world) const {
    Bytes expected(receive.size(), std::byte{0xee});
    for (int peer = 0; peer < size; ++peer) {
      const auto p = static_cast<std::size_t>(peer);
      const Bytes piece = message(tag + world.rank(), peer, receive_bytes[p]);
      std::copy(piece.begin(), piece.end(), expected.begin() + receive_offsets[p]);
    }
    EXPECT_EQ(receive, expected) << "rank " << world.rank();
  }
  int tag;
  int size;
  Words send_bytes, send_offsets, receive_bytes, receive_offsets;
  Bytes send, receive;
};

void all_to_all_uneven_pieces(Communicator& world) {
  for (const std::int64_t greatest : {0, 1, 100, 70'000}) {
    for (int tag = 0; tag < 3; ++tag) {
      ExchangeCase exchange(world, 20 + tag, greatest);
      world.all_to_all_v(exchange.send, exchange.receive, exchange.sizes());
      exchange.expect_received(world);
    }
  }
}

void started_collectives_overlap(Communicator& world) {
  const Words counts(static_cast<std::size_t>(world.size()), 70'000);
  SumCase first(world, 2, counts);
  SumCase second(world, 4, counts);
  ExchangeCase exchange(world, 30, 90'000);
  const auto a = world.start_reduce_scatter(first.in, first.out, first.counts);
  const auto b = world.start_all_to_all_v(exchange.send, exchange.receive, exchange.sizes());
  const auto c = world.start_reduce_scatter(second.in, second.out, second.counts);
  world.barrier();
  while (!a->poll()) std::this_thread::yield();
  a->wait();
  first.expect_sums(world, first.out);
  b->wait();
  exchange.expect_received(world);
  c->wait();
  c->wait();  // waiting again does nothing
  second.expect_sums(world, second.out);
}

void split_into_groups(Communicator& world) {
  const auto halves = world.split(world.rank() % 2, -world.rank(), fmt::format("half {}", world.rank() % 2));
  const int members = (world.size() + 1 - world.rank() % 2) / 2;
  EXPECT_EQ(halves->size(), members);
  EXPECT_EQ(halves->rank(), members - 1 - world.rank() / 2) << "a negative key turns the order round";
  EXPECT_EQ(halves->name(), fmt::format("half {}", world.rank() % 2));

  Words sum{world.rank() + 1};
  halves->all_reduce_sum(sum);
  std::int64_t expected = 0;
  for (int r = world.rank() % 2; r < world.size(); r += 2) expected += r + 1;
  EXPECT_EQ(sum[0], expected);

  const auto alone = halves->split(halves->rank(), 0, "alone");
  EXPECT_EQ(alone->size(), 1);
  for (int turn = 0; turn < 3; ++turn) {
    ExchangeCase inner(*halves, 40 + turn, 50);
    halves->all_to_all_v(inner.send, inner.receive, inner.sizes());
    inner.expect_received(*halves);
    ExchangeCase outer(world, 50 + turn, 50);
    world.all_to_all_v(outer.send, outer.receive, outer.sizes());
    outer.expect_received(world);
    alone->barrier();
  }
}

void groups_of_one_copy(Communicator& world) {
  const auto alone = world.split(world.rank(), 0, "alone");
  const Words counts{5};
  SumCase sums(*alone, 3, counts);
  alone->reduce_scatter(sums.in, sums.out, sums.counts);
  EXPECT_EQ(sums.out, sums.in);
  ExchangeCase exchange(*alone, 61, 1000);
  alone->all_to_all_v(exchange.send, exchange.receive, exchange.sizes());
  exchange.expect_received(*alone);
  gather_pieces(*alone, {17}, 9);
}

void traffic_counts_what_leaves(Communicator& world) {
  const auto group = world.split(0, world.rank(), "counted");
  const std::int64_t peers = world.size() - 1;
  Bytes data(10);
  group->broadcast(data, 0);
  EXPECT_EQ(group->traffic(Collective::broadcast), (Traffic{1, world.rank() == 0 ? 10 * peers : 0}));
  Words values{1, 2, 3};
  group->all_reduce_sum(values);
  EXPECT_EQ(group->traffic(Collective::all_reduce), (Traffic{1, 3 * 16 * peers}));
  group->all_reduce_max(values);
  EXPECT_EQ(group->traffic(Collective::all_reduce), (Traffic{2, 3 * 24 * peers}));
  Words counts(static_cast<std::size_t>(world.size()), 4);
  SumCase sums(*group, 1, counts);
  group->reduce_scatter(sums.in, sums.out, counts);
  EXPECT_EQ(group->traffic(Collective::reduce_scatter), (Traffic{1, 4 * 8 * peers}));
  ExchangeCase exchange(*group, 70, 200);
  group->all_to_all_v(exchange.send, exchange.receive, exchange.sizes());
  const std::int64_t sent = std::accumulate(exchange.send_bytes.begin(), exchange.send_bytes.end(),
                                            -exchange.send_bytes[static_cast<std::size_t>(world.rank())]);
  EXPECT_EQ(group->traffic(Collective::all_to_all_v), (Traffic{1, sent}));
  EXPECT_EQ(group->traffic(Collective::barrier), Traffic{});
}

class Log final : public CollectiveObserver {
 public:
  void entered(std::string_view communicator, const Call& call) override { add('+', communicator, call); }
  void left(std::string_view communicator, const Call& call) override { add('-', communicator, call); }
  std::vector<std::string> lines;

 private:
  void add(char mark, std::string_view communicator, const Call& call) {
    lines.push_back(fmt::format("{}{} {} {}", mark, communicator, collective_name(call.kind), call.sequence));
  }
};

void observer_sees_every_collective(Communicator& world) {
  Log log;
  const auto base = world.next_sequence();
  world.set_observer(&log);
  world.barrier();
  const auto group = world.split(0, 0, "part");
  SumCase sums(*group, 1, Words(static_cast<std::size_t>(world.size()), 2));
  const auto pending = group->start_reduce_scatter(sums.in, sums.out, sums.counts);
  group->barrier();
  pending->wait();
  world.set_observer(nullptr);
  world.barrier();
  EXPECT_EQ(log.lines,
            (std::vector<std::string>{
                fmt::format("+world barrier {}", base), fmt::format("-world barrier {}", base),
                fmt::format("+world split {}", base + 1), fmt::format("-world split {}", base + 1),
                "+part reduce_scatter 0", "+part barrier 1", "-part barrier 1", "-part reduce_scatter 0"}));
}

constexpr ConformanceCase kCases[] = {
    {"BarrierWaitsForTheLast", barrier_waits_for_the_last},
    {"BroadcastFromEveryRoot", broadcast_from_every_root},
    {"AllGatherEqualPieces", all_gather_equal_pieces},
    {"AllGatherUnevenPieces", all_gather_uneven_pieces},
    {"AllReduceIsExact", all_reduce_is_exact},
    {"AllReduceRefusesOverflowEverywhere", all_reduce_refuses_overflow_everywhere},
    {"AllReduceOrOfAny", all_reduce_or_of_any},
    {"ReduceScatterUnevenPieces", reduce_scatter_uneven_pieces},
    {"AllToAllUnevenPieces", all_to_all_uneven_pieces},
    {"StartedCollectivesOverlap", started_collectives_overlap},
    {"SplitIntoGroups", split_into_groups},
    {"GroupsOfOneCopy", groups_of_one_copy},
    {"TrafficCountsWhatLeaves", traffic_counts_what_leaves},
    {"ObserverSeesEveryCollective", observer_sees_every_collective},
};

}  // namespace

std::span<const ConformanceCase> conformance_cases() {
  return kCases;
}

}  // namespace switchyard::parallel
