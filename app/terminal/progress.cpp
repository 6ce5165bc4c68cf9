#include "app/terminal/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "app/terminal/colour.h"
#include "app/terminal/format.h"

namespace switchyard::app {

ProgressOutput stderr_progress() {
  ProgressOutput output;
  output.redraw = is_terminal(stderr);
  output.colour = use_colour(stderr);
  winsize size{};
  if (output.redraw && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    output.columns = size.ws_col;
  output.write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  output.now_seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  return output;
}

Progress::Progress(ProgressOptions options, ProgressOutput output)
    : options_(std::move(options)),
      output_(std::move(output)),
      begin_seconds_(output_.now_seconds()),
      shown_seconds_(begin_seconds_),
      done_(options_.start) {}

Progress::~Progress() {
  clear();
}

void Progress::update(std::int64_t done, std::string_view detail) {
  if (finished_) return;
  done_ = done;
  const double now = output_.now_seconds();
  const double interval = output_.redraw ? 0.1 : now - begin_seconds_ < 61 ? 10 : 60;
  const bool first_draw = output_.redraw && !drawn_;
  if (first_draw || now - shown_seconds_ >= interval) show(detail, false);
}

void Progress::clear() {
  if (drawn_) output_.write("\r\x1b[K");
  drawn_ = false;
}

void Progress::finish(std::string_view detail) {
  if (finished_) return;
  show(detail, true);
  if (output_.redraw) output_.write("\n");
  drawn_ = false;
  finished_ = true;
}

void Progress::show(std::string_view detail, bool last) {
  shown_seconds_ = output_.now_seconds();
  if (!output_.redraw) {
    output_.write(text(detail, last) + "\n");
    return;
  }
  std::string line = text(detail, last);
  // A line that wraps cannot be redrawn. All text here is ASCII, so bytes are columns.
  const auto room = static_cast<std::size_t>(std::max(output_.columns - 1, 10));
  if (line.size() > room) line.resize(room);
  const std::string drawn_bar = bar();
  const std::size_t at = drawn_bar.empty() ? std::string::npos : line.find(drawn_bar);
  if (at != std::string::npos)
    line.replace(at, drawn_bar.size(), coloured(drawn_bar, Colour::green, output_.colour));
  output_.write("\r" + line + "\x1b[K");
  drawn_ = true;
}

std::string Progress::bar() const {
  if (!output_.redraw || options_.total <= 0) return {};
  constexpr int kWidth = 20;
  const double part = std::clamp(static_cast<double>(done_) / static_cast<double>(options_.total), 0.0, 1.0);
  const auto full = static_cast<std::size_t>(part * kWidth);
  return "[" + std::string(full, '#') + std::string(kWidth - full, '.') + "]";
}

std::string Progress::text(std::string_view detail, bool last) const {
  const bool bytes = options_.unit == "B";
  const auto amount = [&](std::int64_t value) {
    return bytes ? format_bytes(value) : format_count(static_cast<double>(value));
  };
  const double elapsed = output_.now_seconds() - begin_seconds_;
  const double rate = elapsed > 0 ? static_cast<double>(done_ - options_.start) / elapsed : 0;

  std::string line = options_.label;
  if (const std::string drawn_bar = bar(); !drawn_bar.empty()) line += " " + drawn_bar;
  if (options_.total > 0) {
    const double part = 100.0 * static_cast<double>(done_) / static_cast<double>(options_.total);
    line +=
        fmt::format(" {:3.0f}% {}/{}", std::clamp(part, 0.0, 100.0), amount(done_), amount(options_.total));
  } else {
    line += " " + amount(done_);
  }
  if (!bytes && !options_.unit.empty()) line += " " + options_.unit;
  if (rate > 0)
    line += bytes ? fmt::format(", {}/s", format_bytes(static_cast<std::int64_t>(rate)))
                  : fmt::format(", {} {}/s", format_count(rate), options_.unit);
  if (last) {
    line += fmt::format(", took {}", format_duration(elapsed));
  } else if (options_.total > 0 && rate > 0) {
    const auto left = static_cast<double>(std::max<std::int64_t>(options_.total - done_, 0));
    line += fmt::format(", ETA {}", format_duration(left / rate));
  }
  if (!detail.empty()) line += fmt::format(", {}", detail);
  return line;
}

}  // namespace switchyard::app
