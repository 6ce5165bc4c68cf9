// metrics.jsonl after crashes: the history that goes on, each step once.
#include "app/metrics/metrics_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/runtime/error.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using test::Folder;
using test::read_file;
using test::write_file;

TEST(MetricsFile, KeepsTheHistoryUpToTheResumedStep) {
  const Folder folder;
  write_file(folder / "m.jsonl",
             "{\"step\":1,\"loss\":5.5}\n"
             "not json\n"
             "{\"loss\":1}\n"
             "{\"step\":2,\"loss\":5.25}\n"
             "{\"step\":2,\"validation_loss\":5.125}\n"
             "{\"step\":3,\"loss\":5}\n"
             "{\"step\":3,\"validation_loss\":5}\n"
             "{\"step\":4,\"lo");
  const MetricsFile metrics(folder / "m.jsonl", 2, true);
  EXPECT_EQ(metrics.last_evaluated_step(), 2);
  EXPECT_EQ(
      read_file(folder / "m.jsonl"),
      "{\"step\":1,\"loss\":5.5}\n{\"step\":2,\"loss\":5.25}\n{\"step\":2,\"validation_loss\":5.125}\n");
}

TEST(MetricsFile, BeginsEmpty) {
  const Folder folder;
  write_file(folder / "m.jsonl", "{\"step\":1,\"loss\":5.5}\n");
  const MetricsFile metrics(folder / "m.jsonl", 0, true);
  EXPECT_EQ(metrics.last_evaluated_step(), -1);
  EXPECT_EQ(read_file(folder / "m.jsonl"), "");
}

TEST(MetricsFile, WritesNumbersThatReadBackToTheSameBits) {
  const Folder folder;
  MetricsFile metrics(folder / "m.jsonl", 0, true);
  StepRecord record;
  record.step = 1;
  record.summary.loss = 0x1.921fb54442d18p+1;
  record.gradient_norm = std::nan("");
  record.skipped = true;
  record.summary.layers.push_back({3, {5, 0, 3}, 2, 1.5, 0.25, 0, 0});
  metrics.write(record);
  const auto line = nlohmann::json::parse(read_file(folder / "m.jsonl"));
  EXPECT_EQ(line["loss"].get<double>(), 0x1.921fb54442d18p+1);
  EXPECT_TRUE(line["gradient_norm"].is_null());
  EXPECT_EQ(line["skipped"], true);
  EXPECT_EQ(line["layers"][0]["load"], (std::vector<int>{5, 0, 3}));
  EXPECT_EQ(line["layers"][0]["layer"], 3);
  EXPECT_EQ(line["load_ratio"].get<double>(), 5.0 * 3 / 8);
}

TEST(MetricsFile, LeavesLoadsOutOnRequest) {
  const Folder folder;
  MetricsFile metrics(folder / "m.jsonl", 0, false);
  StepRecord record;
  record.summary.layers.push_back({3, {5, 0, 3}, 2, 1.5, 0.25, 0, 0});
  metrics.write(record);
  EXPECT_FALSE(nlohmann::json::parse(read_file(folder / "m.jsonl"))["layers"][0].contains("load"));
}

TEST(MetricsFile, NamesAFolderThatRefuses) {
  const Folder folder;
  write_file(folder / "file", "");
  try {
    const MetricsFile metrics(folder / "file/m.jsonl", 0, true);
    FAIL();
  } catch (const DiskError& error) {
    EXPECT_NE(std::string(error.what()).find("file/m.jsonl"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace switchyard::app
