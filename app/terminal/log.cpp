#include "app/terminal/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>

#include "app/terminal/colour.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

class JsonFormatter : public spdlog::formatter {
 public:
  explicit JsonFormatter(int rank) : rank_(rank) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& output) override {
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    const auto since_epoch = duration_cast<milliseconds>(message.time.time_since_epoch()).count();
    const auto level = spdlog::level::to_string_view(message.level);
    nlohmann::ordered_json line;
    line["time"] =
        fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(since_epoch / 1000), since_epoch % 1000);
    line["level"] = std::string(level.data(), level.size());
    line["rank"] = rank_;
    line["message"] = std::string(message.payload.data(), message.payload.size());
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    output.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(rank_); }

 private:
  int rank_;
};

spdlog::level::level_enum level_named(const std::string& name) {
  constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 4> levels = {
      {{"debug", spdlog::level::debug},
       {"info", spdlog::level::info},
       {"warn", spdlog::level::warn},
       {"error", spdlog::level::err}}};
  for (const auto& [known, level] : levels)
    if (name == known) return level;
  throw UserError(fmt::format("--log-level: must be debug, info, warn or error; got {}", name));
}

}  // namespace

std::unique_ptr<spdlog::formatter> log_formatter(const LogOptions& options) {
  if (options.format == LogFormat::json) return std::make_unique<JsonFormatter>(options.rank);
  const std::string rank = options.ranks > 1 ? fmt::format("[rank {}] ", options.rank) : "";
  return std::make_unique<spdlog::pattern_formatter>(fmt::format("%H:%M:%S %^%l%$ {}%v", rank));
}

void set_up_log(const LogOptions& options) {
  auto level = level_named(options.level);
  if (options.rank > 0 && level == spdlog::level::info) level = spdlog::level::warn;
  const auto mode = use_colour(stderr) ? spdlog::color_mode::always : spdlog::color_mode::never;
  auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(mode);
  auto logger = std::make_shared<spdlog::logger>("switchyard", sink);
  logger->set_formatter(log_formatter(options));
  logger->set_level(level);
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(logger);
}

void add_log_file(const std::filesystem::path& file, const LogOptions& options) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_formatter(log_formatter(options));
    spdlog::default_logger()->sinks().push_back(sink);
  } catch (const spdlog::spdlog_ex& error) {
    throw DiskError(fmt::format("log file {}: cannot be opened for writing; {}; check run.directory",
                                file.string(), error.what()));
  }
}

}  // namespace switchyard::app
