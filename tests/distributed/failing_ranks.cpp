// A program of several ranks in which one fails, for failing_ranks_test.cpp: failing_ranks HOW RANK.
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/error.h"
#include "parallel/communicators/mpi.h"

namespace switchyard::parallel {

namespace {

/// The last collective never ends for the other ranks, unless they are told.
int fail_as_told(Communicator& world, std::string_view how, int failing) {
  world.barrier();
  if (world.rank() == failing) {
    if (how == "throw") throw DataError("shard 7 is damaged");
    if (how == "die") std::_Exit(9);
    if (how == "stop") return 75;
  }
  if (how == "stop") return 75;
  std::vector<std::int64_t> in(static_cast<std::size_t>(world.size()) * 100'000, 1);
  std::vector<std::int64_t> out(100'000);
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(world.size()), 100'000);
  if (how == "sizes") {  // one rank expects more than it is sent
    const std::vector<std::int64_t> bytes(counts.size(), 4);
    const std::vector<std::int64_t> offsets(counts.size(), 0);
    std::vector<std::int64_t> expected = bytes;
    const int other = failing == 0 ? 1 : 0;
    if (world.rank() == failing) expected[static_cast<std::size_t>(other)] = 5;
    std::vector<std::int64_t> places;
    for (int peer = 0; peer < world.size(); ++peer) places.push_back(8 * peer);
    world.all_to_all_v(bytes_of(std::span(in)), bytes_of(std::span(in)).subspan(800'000),
                       {bytes, offsets, expected, places});
    world.barrier();
  }
  if (how == "all-throw") throw DataError("no shards in data/");
  world.reduce_scatter(in, out, counts);
  return 0;
}

}  // namespace

}  // namespace switchyard::parallel

int main(int argc, char** argv) {
  using namespace switchyard;
  if (argc != 3) return 2;
  const std::string_view how = argv[1];
  const int failing = std::stoi(argv[2]);
  return parallel::run_ranks(
      {},
      [&](parallel::MpiWorld& world) { return parallel::fail_as_told(world.communicator(), how, failing); },
      [](const std::exception& error) {
        if (dynamic_cast<const DataError*>(&error) != nullptr) return 3;
        return dynamic_cast<const UserError*>(&error) != nullptr ? 2 : 8;
      });
}
