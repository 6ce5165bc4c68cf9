// The disk refuses in the middle of an import: at every call, with every kind of refusal.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "app/exit_code.h"
#include "app/hugging_face/import/importer.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using test::ModelWriter;

class ImportFaults : public testing::Test {
 protected:
  ImportFaults() {
    ModelWriter model(Family::mixtral);
    model.config["tie_word_embeddings"] = true;  // so that the bytes of head and embedding are compared
    model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"];
    model.write(folder_ / "in", 3);
  }
  ImportReport import(data::Io& io) {
    ImportOptions options;
    options.folder = folder_ / "in";
    options.output = folder_ / "out/run";
    return import_model(io, options);
  }
  /// Everything under `out`, dot names too.
  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    if (std::filesystem::exists(folder_ / "out"))
      for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "out"))
        names.push_back(entry.path().string());
    return names;
  }
  void expect_whole(const ImportReport& report) {
    EXPECT_EQ(data::verify_checkpoint(real_, report.checkpoint, {}), std::nullopt);
    EXPECT_TRUE(std::filesystem::is_regular_file(report.yaml));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out/.run.partial"));
  }

  test::Folder folder_;
  test::UnsyncedIo real_;
};

TEST_F(ImportFaults, ARefusalAtAnyCallLeavesNothingAndTheNextImportWorks) {
  data::FaultingIo counting(real_);
  expect_whole(import(counting));
  std::filesystem::remove_all(folder_ / "out");
  const std::int64_t calls = counting.num_calls();
  ASSERT_GT(calls, 40);
  struct Refusal {
    int number;
    int exit_code;
    bool takes_effect;
  };
  for (const Refusal& refusal : {Refusal{EIO, kExitDisk, false}, Refusal{EIO, kExitDisk, true},
                                 Refusal{ENOSPC, kExitDisk, false}, Refusal{EACCES, kExitUsage, false}}) {
    int refused = 0;
    for (std::int64_t index = 0; index < calls; ++index) {
      data::FaultingIo io(real_, {{}, index, refusal.number, false, refusal.takes_effect});
      const std::string what =
          fmt::format("errno {} at call {}, {}", refusal.number, index,
                      data::io_call_name(counting.calls()[static_cast<std::size_t>(index)]));
      try {
        expect_whole(import(io));
        std::filesystem::remove_all(folder_ / "out");
      } catch (const Error& error) {
        EXPECT_EQ(exit_code(error.kind()), refusal.exit_code) << what << ": " << error.what();
        EXPECT_THAT(left_over(), testing::IsEmpty()) << what;
        ++refused;
      }
      EXPECT_TRUE(io.has_struck()) << what;
    }
    EXPECT_GT(refused, calls * 3 / 4) << "a refusal is seldom borne: " << refusal.number;
    expect_whole(import(real_));
    std::filesystem::remove_all(folder_ / "out");
  }
}

/// A kernel that does a part of each call and is interrupted in between.
class ShortIo : public data::RealIo {
 protected:
  ssize_t system_pwrite(int descriptor, const void* bytes, std::size_t size, off_t offset) override {
    if (++calls_ % 2 == 0) return interrupted();
    return RealIo::system_pwrite(descriptor, bytes, size > 1 ? size - size / 3 : size, offset);
  }
  ssize_t system_pread(int descriptor, void* bytes, std::size_t size, off_t offset) override {
    if (++calls_ % 2 == 0) return interrupted();
    return RealIo::system_pread(descriptor, bytes, size > 1 ? size - size / 3 : size, offset);
  }

 private:
  static ssize_t interrupted() {
    errno = EINTR;
    return -1;
  }
  int calls_ = 0;
};

TEST_F(ImportFaults, ShortAndInterruptedCallsChangeNothing) {
  const auto part = [](const ImportReport& report) {
    return test::read_file(report.checkpoint / "part-00000.safetensors");
  };
  const std::string whole = part(import(real_));
  std::filesystem::remove_all(folder_ / "out");
  ShortIo io;
  const ImportReport report = import(io);
  expect_whole(report);
  EXPECT_TRUE(part(report) == whole);
}

}  // namespace
}  // namespace switchyard::app
