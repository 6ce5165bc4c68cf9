// What a run needs before its first step, and what it starts from.
#include "app/train/session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <thread>

#include "app/config/load.h"
#include "app/exit_code.h"
#include "app/train/evaluation.h"
#include "app/train/trainer.h"
#include "kernels/runtime/device.h"
#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "tests/support/workshop.h"

namespace switchyard::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;
using Words = std::vector<std::string>;

class SessionTest : public testing::Test {
 protected:
  SessionTest() : before_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  }
  ~SessionTest() override { spdlog::set_default_logger(before_); }

  Config config(const std::string& run, Words settings) const {
    settings.insert(settings.begin(), {"data.train=" + (workshop_ / "data").string(),
                                       "run.directory=" + (workshop_ / ("runs/" + run)).string()});
    return load_config(workshop_ / "tiny.yaml", settings);
  }
  void open(const Words& settings) const {
    const auto world = parallel::single_rank();
    Session(config("run", settings), *world, {});
  }
  int train(const std::string& run, const Words& settings) const {
    const auto world = parallel::single_rank();
    const Config chosen = config(run, settings);
    std::filesystem::create_directories(chosen.run.directory);
    return run_training(chosen, *world, {.quiet = true});
  }
  test::Workshop workshop_;
  std::ostringstream log_;

 private:
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(SessionTest, RefusesDataThatIsTooShortAndVocabulariesThatAreTooSmall) {
  EXPECT_THAT(
      [&] {
        open({"data.sequence_length=40000", "model.max_sequence_length=40000"});
      },
      ThrowsMessage<DataError>(HasSubstr("tokens are fewer than one sequence of 40000; prepare more text")));
  const Words held_out = {"data.sequence_length=8000", "model.max_sequence_length=8000"};
  EXPECT_THAT([&] { open(held_out); }, ThrowsMessage<DataError>(AllOf(HasSubstr("the held-out split has "),
                                                                      HasSubstr("evaluate_every: 0"))));
  EXPECT_THAT([&] { open({"model.vocab_size=100"}); },
              ThrowsMessage<UserError>(HasSubstr("model.vocab_size must be at least the ")));
  EXPECT_NO_THROW(open({"model.vocab_size=1000", "run.threads=0", "train.evaluate_every=0"}));
  EXPECT_NO_THROW(open({"data.validation=" + (workshop_ / "data").string()}));
  if (kernels::found_devices().devices.empty()) {
    EXPECT_THAT([&] { open({"run.device=cuda"}); },
                ThrowsMessage<DeviceError>(HasSubstr("set run.device: cpu")));
  }
}

TEST_F(SessionTest, EvaluatesAllOrAPartAndSaysWhereTheLossIsNoNumber) {
  const auto world = parallel::single_rank();
  Session session(config("run", {}), *world, {});
  const auto evaluate = [&](std::int64_t units) {
    return evaluate_split(session.context(), session.model(), *world, *session.validation_data(),
                          session.shape(), units);
  };
  const EvaluationRecord part = evaluate(2), all = evaluate(0);
  EXPECT_EQ(part.tokens, 2 * session.shape().B * session.shape().T);
  EXPECT_EQ(all.tokens, static_cast<std::int64_t>(session.validation_data()->num_windows(16)) * 16);
  EXPECT_TRUE(std::isfinite(all.loss));
  EXPECT_DOUBLE_EQ(all.perplexity, std::exp(all.loss));
  const TensorView weights = session.model().dense().parameters().front().weight;
  std::fill_n(weights.data<float>(), weights.elements(), std::numeric_limits<float>::quiet_NaN());
  session.model().use_state(session.context());
  EXPECT_TRUE(std::isnan(evaluate(2).loss));
}

TEST_F(SessionTest, StartsFromTheWeightsOfAnotherRun) {
  ASSERT_EQ(train("first", {}), kExitDone);
  const std::string from = "train.init_from=" + (workshop_ / "runs/first").string();
  EXPECT_EQ(train("second", {from, "model.moe.aux_loss=0.02", "model.init_std=0.5", "train.steps=10",
                             "train.recompute=block", "checkpoint.background=false", "checkpoint.every=4",
                             "guard.parity_every=4"}),
            kExitDone);
  EXPECT_THAT(log_.str(),
              AllOf(HasSubstr("weights from " + workshop_.checkpoint("first", 20).string()),
                    HasSubstr("model.moe.aux_loss is 0.02 and was 0.01 where the weights come from"),
                    Not(HasSubstr("model.init_std is"))));
  EXPECT_LT(workshop_.steps("second").front()["loss"].get<double>(),
            workshop_.steps("first").front()["loss"].get<double>());

  EXPECT_THAT([&] { train("third", {"train.init_from=" + (workshop_ / "nothing").string()}); },
              ThrowsMessage<Error>(AllOf(HasSubstr("train.init_from: "), HasSubstr("must be a run folder"))));
  EXPECT_THAT(
      [&] {
        train("fourth", {from, "model.width=64"});
      },
      ThrowsMessage<CheckpointError>(HasSubstr("but the model needs")));
}

TEST_F(SessionTest, RanksOfTwoHostsTrainToTheSameBitsFromTheSameWeights) {
  ASSERT_EQ(train("first", {"train.steps=10"}), kExitDone);
  const Words settings = {"train.init_from=" + (workshop_ / "runs/first").string(), "checkpoint.every=0",
                          "checkpoint.failure_interval=1h"};
  ASSERT_EQ(train("one", settings), kExitDone);
  const Config chosen = config("two", settings);
  std::filesystem::create_directories(chosen.run.directory);
  parallel::run_local(2, [&](parallel::Communicator& world) {
    EXPECT_EQ(run_training(chosen, world, {.quiet = true}), kExitDone) << "each on a host of its own";
  });
  EXPECT_EQ(workshop_.digest("runs/two"), workshop_.digest("runs/one"));
}

/// stderr as a terminal, whose lines are thrown away.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)), before_(::dup(STDERR_FILENO)) {
    EXPECT_EQ(::grantpt(master_), 0);
    EXPECT_EQ(::unlockpt(master_), 0);
    const int terminal = ::open(::ptsname(master_), O_RDWR | O_NOCTTY);
    EXPECT_GE(terminal, 0);
    ::dup2(terminal, STDERR_FILENO);
    ::close(terminal);
    reader_ = std::thread([this] {
      std::array<char, 4096> bytes{};
      for (ssize_t got = 0; (got = ::read(master_, bytes.data(), bytes.size())) > 0;)
        shown_.append(bytes.data(), static_cast<std::size_t>(got));
    });
  }
  /// What was shown; stderr is its own again.
  std::string end() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    reader_.join();  // reading ends with the terminal's last writer
    ::close(master_);
    return shown_;
  }

 private:
  int master_, before_;
  std::string shown_;
  std::thread reader_;
};

TEST_F(SessionTest, ShowsItsProgressOnATerminal) {
  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  Terminal terminal;
  const auto world = parallel::single_rank();
  const Config chosen = config("shown", {"checkpoint.background=false"});
  std::filesystem::create_directories(chosen.run.directory);
  EXPECT_EQ(run_training(chosen, *world, {}), kExitDone);
  const std::string shown = terminal.end();
  EXPECT_THAT(shown, AllOf(HasSubstr("20"), HasSubstr("loss ")));
}

TEST_F(SessionTest, WeightsOfAnotherTokenizerAreRefused) {
  ASSERT_EQ(train("first", {}), kExitDone);
  const auto fixture =
      std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures/qwen.json";
  std::filesystem::create_directories(workshop_ / "tokenizer");
  std::filesystem::copy_file(fixture, workshop_ / "tokenizer/tokenizer.json");
  ASSERT_EQ(workshop_
                .run({"prepare", "text", "--output", "bpe", "--tokenizer", "tokenizer", "--threads", "1",
                      "--end-of-document", "<|endoftext|>", "--held-out", "0.1"})
                .code,
            0);
  EXPECT_THAT(
      [&] {
        train("second", {"train.init_from=" + (workshop_ / "runs/first").string(),
                         "data.train=" + (workshop_ / "bpe").string()});
      },
      ThrowsMessage<UserError>(HasSubstr("the data must be prepared with the tokenizer of ")));
}

}  // namespace
}  // namespace switchyard::app
