// From exceptions to the block on stderr and the exit code.
#include "app/command_line/dispatch.h"

#include <gtest/gtest.h>

#include <new>

#include "app/exit_code.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

template <typename Thrown>
Failure failure_of(Thrown thrown) {
  return describe_failure(std::make_exception_ptr(thrown), "train");
}

TEST(Dispatch, GivesEachClassOfFailureItsCode) {
  EXPECT_EQ(failure_of(UserError("x")).exit_code, 2);
  EXPECT_EQ(failure_of(DataError("x")).exit_code, 3);
  EXPECT_EQ(failure_of(CheckpointError("x")).exit_code, 4);
  EXPECT_EQ(failure_of(DiskError("x")).exit_code, 5);
  EXPECT_EQ(failure_of(NumericsError("x")).exit_code, 6);
  EXPECT_EQ(failure_of(HangError("x")).exit_code, 7);
  EXPECT_EQ(failure_of(PeerError("x")).exit_code, 8);
  EXPECT_EQ(failure_of(DeviceError("x")).exit_code, 9);
  EXPECT_EQ(failure_of(InternalError("x")).exit_code, 70);
  EXPECT_EQ(failure_of(std::bad_alloc()).exit_code, 70);
  EXPECT_EQ(failure_of(std::runtime_error("x")).exit_code, 70);
  EXPECT_EQ(failure_of(42).exit_code, 70);
}

TEST(Dispatch, SaysWhatWhereWhyAndWhatToDoInOneBlock) {
  EXPECT_EQ(failure_of(UserError("run.yaml:1:2: model.heads: wrong\nrun.yaml:3:4: model.width: wrong")).text,
            "switchyard train: the command line or the configuration is wrong (exit code 2)\n"
            "  run.yaml:1:2: model.heads: wrong\n"
            "  run.yaml:3:4: model.width: wrong\n"
            "  What to do: change what is named above; `switchyard help config` explains every key\n");
  EXPECT_NE(failure_of(std::bad_alloc()).text.find("out of memory"), std::string::npos);
  EXPECT_NE(failure_of(42).text.find("unknown type"), std::string::npos);
}

TEST(Dispatch, SuggestsACommand) {
  try {
    known_command("shcema");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(), "there is no command shcema; did you mean schema?");
  }
}

}  // namespace
}  // namespace switchyard::app
