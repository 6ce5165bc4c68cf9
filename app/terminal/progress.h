// Progress of one long piece of work: a bar that is redrawn on a terminal, plain lines at growing intervals
// anywhere else (so that no file ever holds a bar).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace switchyard::app {

struct ProgressOptions {
  std::string label;       ///< what is done, for example "prepare"
  std::string unit;        ///< what is counted: "tokens", "steps"; "B" prints byte units
  std::int64_t total = 0;  ///< 0 = unknown: no bar, no ETA, the rate only
  std::int64_t start = 0;  ///< work done before now (a resumed run): counts for the bar, not for the rate
};

/// Where progress goes and what time it is. The default is stderr and the monotonic clock.
struct ProgressOutput {
  bool redraw = false;                          ///< a terminal: redraw one line
  bool colour = false;                          ///< colour the bar
  int columns = 80;                             ///< width of the terminal
  std::function<void(std::string_view)> write;  ///< takes text with its line ends
  std::function<double()> now_seconds;          ///< monotonic
};
ProgressOutput stderr_progress();

/// Not thread-safe: one thread reports. Never throws because of the stream.
class Progress {
 public:
  explicit Progress(ProgressOptions options, ProgressOutput output = stderr_progress());
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Leaves the terminal on a fresh line.
  ~Progress();

  /// `done` counts from 0 of the whole work. Redraws at most ten times a second; elsewhere prints a line
  /// after 10 s, then each 10 s during the first minute, each 60 s after that.
  void update(std::int64_t done, std::string_view detail = {});
  /// Removes the bar so that a log line can be printed; the next update draws it again.
  void clear();
  /// Draws the last state with the time taken and ends the line. Later calls do nothing.
  void finish(std::string_view detail = {});

 private:
  void show(std::string_view detail, bool last);
  std::string text(std::string_view detail, bool last) const;
  std::string bar() const;

  ProgressOptions options_;
  ProgressOutput output_;
  double begin_seconds_;
  double shown_seconds_;
  std::int64_t done_;
  bool drawn_ = false;
  bool finished_ = false;
};

}  // namespace switchyard::app
