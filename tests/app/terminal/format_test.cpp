#include "app/terminal/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace switchyard::app {
namespace {

TEST(FormatBytes, SwitchesUnitsBeforeFourDigits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(format_bytes(64LL << 20), "64.0 MiB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::int64_t>::max()), "8.0 EiB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::int64_t>::min()), "-8.0 EiB");
}

TEST(FormatCount, KeepsThreeDigits) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(0.125), "0.125");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(999.6), "1.00k");
  EXPECT_EQ(format_count(1000), "1.00k");
  EXPECT_EQ(format_count(12'345), "12.3k");
  EXPECT_EQ(format_count(999'999), "1.00M");
  EXPECT_EQ(format_count(4.56e9), "4.56G");
  EXPECT_EQ(format_count(-2500), "-2.50k");
  EXPECT_EQ(format_count(std::nan("")), "-");
  EXPECT_EQ(format_count(std::numeric_limits<double>::infinity()), "-");
}

TEST(FormatDuration, ShowsTwoUnits) {
  EXPECT_EQ(format_duration(0), "0s");
  EXPECT_EQ(format_duration(0.254), "0.25s");
  EXPECT_EQ(format_duration(9.999), "10s");
  EXPECT_EQ(format_duration(59.4), "59s");
  EXPECT_EQ(format_duration(59.6), "1m 00s");
  EXPECT_EQ(format_duration(3599.7), "1h 00m");
  EXPECT_EQ(format_duration(7380), "2h 03m");
  EXPECT_EQ(format_duration(273'600), "3d 04h");
  EXPECT_EQ(format_duration(-1), "-");
  EXPECT_EQ(format_duration(std::nan("")), "-");
}

TEST(DurationText, IsExact) {
  EXPECT_EQ(duration_text(0), "0");
  EXPECT_EQ(duration_text(5400), "1h30m");
  EXPECT_EQ(duration_text(86'401), "1d1s");
}

TEST(Printable, EscapesControlsAndReplacesInvalidBytes) {
  EXPECT_EQ(printable("plain äöü 日本"), "plain äöü 日本");
  EXPECT_EQ(printable("\x1b[31m\n\x7f"), "\\x1b[31m\\x0a\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(printable("a\xff\xc0\xaf"
                      "b"),
            "a???b");
  EXPECT_EQ(printable("\xED\xA0\x80"), "???") << "a surrogate";
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "????") << "above U+10FFFF";
  EXPECT_EQ(printable("cut \xE6\x97"), "cut ??");
  EXPECT_EQ(printable("123456", 3), "123...");
  EXPECT_EQ(printable("123", 3), "123");
  EXPECT_EQ(printable("ab日本", 3), "ab日...") << "never half a letter";
}

}  // namespace
}  // namespace switchyard::app
