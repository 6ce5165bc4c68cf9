#include "app/terminal/progress.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard::app {
namespace {

/// Collects what is written; the clock is moved by hand.
struct Screen {
  double seconds = 100;
  std::vector<std::string> writes;

  ProgressOutput output(bool redraw, bool colour = false, int columns = 120) {
    return {redraw, colour, columns, [this](std::string_view text) { writes.emplace_back(text); },
            [this] { return seconds; }};
  }
  std::string all() const {
    std::string text;
    for (const auto& write : writes) text += write;
    return text;
  }
};

TEST(Progress, PrintsLinesAtGrowingIntervalsIntoAFile) {
  Screen screen;
  Progress progress({"prepare", "tokens", 1'000'000}, screen.output(false));
  for (int second = 1; second <= 300; ++second) {
    screen.seconds = 100 + second;
    progress.update(second * 1000);
  }
  progress.finish();
  // At 10, 20, ..., 60 s, then each minute, and the last line.
  ASSERT_EQ(screen.writes.size(), 6U + 4U + 1U);
  EXPECT_EQ(screen.writes[0], "prepare   1% 10.0k/1.00M tokens, 1.00k tokens/s, ETA 16m 30s\n");
  EXPECT_EQ(screen.writes.back(), "prepare  30% 300k/1.00M tokens, 1.00k tokens/s, took 5m 00s\n");
  EXPECT_EQ(screen.all().find_first_of("\r\x1b#"), std::string::npos) << "a file never holds a bar";
}

TEST(Progress, RedrawsOneLineOnATerminal) {
  Screen screen;
  {
    Progress progress({"read", "B", 4096}, screen.output(true));
    progress.update(0);
    EXPECT_EQ(screen.writes.size(), 1U) << "the bar shows at once";
    screen.seconds += 0.05;
    progress.update(1024);
    EXPECT_EQ(screen.writes.size(), 1U) << "at most ten times a second";
    screen.seconds += 0.95;
    progress.update(2048, "file 1");
    EXPECT_EQ(screen.writes.back(),
              "\rread [##########..........]  50% 2.0 KiB/4.0 KiB, 2.0 KiB/s, ETA 1.00s, file 1\x1b[K");
    EXPECT_EQ(screen.all().find('\n'), std::string::npos);
    progress.finish();
    EXPECT_EQ(screen.writes.back(), "\n");
  }
  EXPECT_EQ(screen.writes.back(), "\n") << "nothing after the end";
}

TEST(Progress, NeverWrapsAndColoursOnlyTheBar) {
  Screen screen;
  Progress progress({"read", "B", 4096}, screen.output(true, true, 30));
  progress.update(4096);
  EXPECT_EQ(screen.writes[0], "\rread \x1b[32m[####################]\x1b[0m 1\x1b[K");
}

TEST(Progress, ClearsForALogLineAndWhenLeft) {
  Screen screen;
  {
    Progress progress({"read", "B", 4096}, screen.output(true));
    progress.update(1);
    progress.clear();
    EXPECT_EQ(screen.writes.back(), "\r\x1b[K");
    progress.clear();
    EXPECT_EQ(screen.writes.size(), 2U) << "nothing to clear";
    progress.update(2);
    EXPECT_EQ(screen.writes.size(), 3U) << "drawn again at once";
  }
  EXPECT_EQ(screen.writes.back(), "\r\x1b[K");
}

TEST(Progress, RateLeavesOutWhatWasDoneBefore) {
  Screen screen;
  Progress progress({"train", "steps", 200, 100}, screen.output(false));
  screen.seconds += 10;
  progress.update(110);
  EXPECT_EQ(screen.writes[0], "train  55% 110/200 steps, 1 steps/s, ETA 1m 30s\n");
}

TEST(Progress, WorksWithoutATotal) {
  Screen screen;
  Progress progress({"scan", "files"}, screen.output(false));
  screen.seconds += 10;
  progress.update(5);
  EXPECT_EQ(screen.writes[0], "scan 5 files, 0.5 files/s\n");
}

}  // namespace
}  // namespace switchyard::app
