// What a run's folder says of its progress.
#include "app/supervise/progress.h"

#include <gtest/gtest.h>

#include "tests/support/workshop.h"

namespace switchyard::app {
namespace {

TEST(KeptSeconds, CountsEachKeptStepOnceAndNothingElse) {
  const test::Folder folder;
  const auto file = folder / "metrics.jsonl";
  EXPECT_EQ(kept_seconds(file, -1, 100), 0);
  test::write_file(file, R"({"step":1,"loss":2.0,"seconds":1.0}
{"step":2,"loss":2.0,"seconds":2.0,"skipped":true}
{"step":2,"validation_loss":2.0,"seconds":64.0}
{"step":3,"loss":null,"seconds":4.0,"skipped":false}
{"step":4,"loss":2.0,"seconds":8.0}
{"step":4,"loss":2.0,"seconds":16.0}
[1]
{"step":5,"loss":2.0}
{"step":5,"lo)");
  EXPECT_EQ(kept_seconds(file, -1, 100), 21);
  EXPECT_EQ(kept_seconds(file, 1, 3), 4);
  EXPECT_EQ(kept_seconds(file, 1, -1), 0);
}

TEST(NewestCommittedStep, IsNoneWhereTheFolderCannotBeRead) {
  const test::Folder folder;
  const RunFolder run{folder.path()};
  test::write_file(run.checkpoints(), "a file in the folder's place");
  EXPECT_EQ(newest_committed_step(run), -1);
}

TEST(NewestCommittedStep, IsTheNewestWholeOne) {
  const test::Workshop workshop;
  const RunFolder run{workshop.run_folder("run")};
  EXPECT_EQ(newest_committed_step(run), -1);
  ASSERT_EQ(workshop.run(test::Workshop::train("run")).code, 0);
  EXPECT_EQ(newest_committed_step(run), 20);
  std::filesystem::resize_file(workshop.checkpoint("run", 20) / "part-00000.safetensors", 100);
  EXPECT_EQ(newest_committed_step(run), 10);
}

}  // namespace
}  // namespace switchyard::app
