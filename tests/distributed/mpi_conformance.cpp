// The conformance cases on processes under mpirun: every rank runs every test. Options choose how messages
// travel: --transport=messages|collective, --message-bytes=N.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>
#include <thread>

#include "kernels/runtime/error.h"
#include "parallel/communicators/mpi.h"
#include "tests/distributed/conformance.h"

namespace switchyard::parallel {

namespace {

constexpr std::chrono::milliseconds kParticipationTimeout{3000};

/// The world that main opened, for tests, which GoogleTest constructs itself.
Communicator*& opened_world() {
  static Communicator* world = nullptr;
  return world;
}

class MpiConformance : public testing::TestWithParam<ConformanceCase> {};

TEST_P(MpiConformance, Case) {
  GetParam().run(*opened_world());
}

INSTANTIATE_TEST_SUITE_P(Ranks, MpiConformance,
                         testing::ValuesIn(conformance_cases().begin(), conformance_cases().end()),
                         [](const auto& given) { return std::string(given.param.name); });

std::string peer_error_of(const std::function<void()>& enter) {
  try {
    enter();
  } catch (const PeerError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no PeerError";
  return "";
}

TEST(MpiMismatch, OtherCollectiveNamesBothSides) {
  Communicator& world = *opened_world();
  if (world.size() == 1) return;  // nobody to disagree with; larger groups run it
  const auto group = world.split(0, world.rank(), "checked");
  const std::string text = peer_error_of([&] {
    if (world.rank() == 1) {
      group->all_reduce_or(true);
    } else {
      group->barrier();
    }
  });
  if (world.rank() == 1) {
    EXPECT_THAT(text, testing::HasSubstr("rank 1 is in all_reduce #0 (8 bytes), rank 0 in barrier #0"));
  } else {
    EXPECT_THAT(text, testing::HasSubstr(fmt::format("rank {} is in barrier #0", world.rank())));
    EXPECT_THAT(text, testing::HasSubstr("rank 1 in all_reduce #0 (8 bytes)"));
  }
  world.barrier();
}

TEST(MpiMismatch, OtherSizeNamesBothSides) {
  Communicator& world = *opened_world();
  if (world.size() == 1) return;
  const auto group = world.split(0, world.rank(), "checked");
  std::vector<std::byte> data(world.rank() == 0 ? 8 : 16);
  if (world.rank() > 1) data.resize(8);
  const std::string text = peer_error_of([&] { group->broadcast(data, 0); });
  EXPECT_THAT(text, testing::AllOf(testing::HasSubstr("(8 bytes)"), testing::HasSubstr("(16 bytes)")));
  world.barrier();
}

TEST(MpiMismatch, RankThatNeverComesIsNamed) {
  Communicator& world = *opened_world();
  if (world.size() == 1) return;
  const auto group = world.split(0, world.rank(), "checked");
  const int absent = world.size() - 1;
  if (world.rank() != absent) {
    EXPECT_THAT(peer_error_of([&] { group->barrier(); }),
                testing::HasSubstr(fmt::format("nothing came from rank {} within", absent)));
  } else {
    // The others wait as long as in every check; coming now would make this rank miss them in turn.
    std::this_thread::sleep_for(kParticipationTimeout * 2 / 3);
  }
  world.all_reduce_or(false);
}

/// Ranks other than 0 report their failures only.
class FailurePrinter : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    fmt::print("rank {}: {}:{}: {}\n", rank_, result.file_name(), result.line_number(), result.message());
  }

 private:
  int rank_;
};

MpiOptions options_from(int argc, char** argv) {
  MpiOptions options;
  options.check_participation = true;
  options.participation_timeout = kParticipationTimeout;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--transport=collective") {
      options.all_to_all = options.reduce_scatter = MpiOptions::Transport::collective;
    } else if (argument == "--unchecked") {
      options.check_participation = false;
    } else if (argument.starts_with("--message-bytes=")) {
      options.message_bytes = std::stoll(std::string(argument.substr(16)));
    } else {
      throw UserError(fmt::format("unknown option {}", argument));
    }
  }
  return options;
}

int run_all(MpiWorld& world, bool checked) {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world.communicator().rank() != 0) {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(world.communicator().rank()));
  }
  // An exception must end all ranks; caught by one rank it would leave the others waiting.
  GTEST_FLAG_SET(catch_exceptions, false);
  if (!checked) GTEST_FLAG_SET(filter, "-MpiMismatch.*");
  const HostPlace& place = world.place();
  if (place.ranks_on_host != world.communicator().size() ||
      place.rank_on_host != world.communicator().rank()) {
    throw InternalError("ranks of one host are numbered as in the world");
  }
  opened_world() = &world.communicator();
  const bool failed = RUN_ALL_TESTS() != 0;
  return world.communicator().all_reduce_or(failed) ? 1 : 0;
}

}  // namespace

}  // namespace switchyard::parallel

int main(int argc, char** argv) {
  using namespace switchyard;
  testing::InitGoogleTest(&argc, argv);
  const auto options = parallel::options_from(argc, argv);
  return parallel::run_ranks(
      options,
      [&](parallel::MpiWorld& world) { return parallel::run_all(world, options.check_participation); },
      [](const std::exception&) { return 70; });
}
