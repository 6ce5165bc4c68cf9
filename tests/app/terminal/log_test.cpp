#include "app/terminal/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

std::string logged(const LogOptions& options, const std::string& message) {
  std::ostringstream stream;
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_st>(stream);
  spdlog::logger logger("test", sink);
  logger.set_formatter(log_formatter(options));
  logger.warn(spdlog::string_view_t(message));
  return stream.str();
}

TEST(Log, JsonIsOneObjectPerLineWhateverTheMessage) {
  LogOptions options{LogFormat::json, "info", 3, 4};
  const std::string line = logged(options, "a \"quoted\"\nline \xff");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["level"], "warning");
  EXPECT_EQ(parsed["rank"], 3);
  EXPECT_EQ(parsed["message"], "a \"quoted\"\nline \xEF\xBF\xBD");
  const std::string time = parsed["time"];
  EXPECT_EQ(time.size(), std::string("2026-01-01T00:00:00.000Z").size()) << time;
}

TEST(Log, TextNamesTheRankOnlyAmongSeveral) {
  EXPECT_NE(logged({LogFormat::text, "info", 1, 2}, "hello").find("warning [rank 1] hello"),
            std::string::npos);
  EXPECT_NE(logged({LogFormat::text, "info", 0, 1}, "hello").find("warning hello"), std::string::npos);
}

TEST(Log, FileGetsWhatStderrGets) {
  const auto file =
      std::filesystem::temp_directory_path() / ("switchyard_log_test_" + std::to_string(getpid()));
  set_up_log({LogFormat::text, "error", 0, 1});
  add_log_file(file, {});
  spdlog::info("below the level");
  spdlog::error("an error");
  spdlog::default_logger()->flush();
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  EXPECT_EQ(text.str().find("below the level"), std::string::npos);
  EXPECT_NE(text.str().find("error an error"), std::string::npos);
  EXPECT_EQ(text.str().find('\x1b'), std::string::npos);
  std::filesystem::remove(file);
}

TEST(Log, OtherRanksAreQuietUnlessDebugging) {
  set_up_log({LogFormat::text, "info", 1, 2});
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::warn);
  set_up_log({LogFormat::text, "debug", 1, 2});
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::debug);
  set_up_log({LogFormat::text, "info", 0, 2});
  EXPECT_EQ(spdlog::default_logger()->level(), spdlog::level::info);
}

TEST(Log, RefusesWhatItCannotDo) {
  EXPECT_THROW(set_up_log({LogFormat::text, "loud", 0, 1}), UserError);
  EXPECT_THROW(add_log_file("/proc/no/such/file", {}), DiskError);
}

}  // namespace
}  // namespace switchyard::app
