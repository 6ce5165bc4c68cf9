// Folders from strangers: whatever is done to the files of a good one, the import refuses it as bad data and
// leaves nothing, or makes a checkpoint that verifies and is the same the second time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "app/config/load.h"
#include "app/hugging_face/import/importer.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/hostile/allocation_meter.h"
#include "tests/support/hostile/mutator.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using test::ModelWriter;
using Path = std::filesystem::path;

constexpr int kTrials = 600;
constexpr std::int64_t kMostBytes = std::int64_t{96} << 20;
constexpr double kMostSeconds = 5;

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// JSON stays JSON: a tensor of another name, a vocabulary of another size.
void damage_json_file(const Path& file, test::Mutator& mutator) {
  auto document = nlohmann::json::parse(test::read_file(file));
  for (std::size_t changes = 1 + mutator.draw(2); changes > 0; --changes) mutator.damage_json(document);
  test::write_file(file, document.dump(2));
}

/// The header of a safetensors file; its tensors' bytes stay.
void damage_header(const Path& file, test::Mutator& mutator) {
  const std::string bytes = test::read_file(file);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  auto header = nlohmann::json::parse(bytes.substr(8, length));
  mutator.damage_json(header);
  const std::string text = header.dump();
  const std::uint64_t now = text.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &now, 8);
  test::write_file(file, out + text + bytes.substr(8 + length));
}

class MutatedFolders : public testing::Test {
 protected:
  MutatedFolders() {
    int number = 0;
    for (const FamilyTraits& family : families()) {
      const ModelWriter model(family.family, number % 2 == 0 ? "F32" : "BF16");
      model.write(good(number), 1 + number % 3);
      if (number % 2 == 0) add_tokenizer(good(number));
      ++number;
    }
    num_good_ = number;
  }
  Path good(int number) const { return folder_ / ("good" + std::to_string(number)); }

  /// A fixture's tokenizer is larger than the vocabulary; that makes the folder one to refuse or not, as the
  /// rules say.
  static void add_tokenizer(const Path& folder) {
    const Path fixture = Path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures/gpt2.json";
    std::filesystem::copy_file(fixture, folder / "tokenizer.json");
    test::write_file(folder / "tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
  }

  /// Damages one file of the folder.
  static void damage(const Path& folder, test::Mutator& mutator) {
    std::vector<Path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    const Path& file = files[mutator.draw(files.size())];
    if (mutator.draw(4) == 0) {
      std::string bytes = test::read_file(file);
      mutator.damage_bytes(bytes);
      test::write_file(file, bytes);
    } else if (file.extension() == ".safetensors") {
      damage_header(file, mutator);
    } else {
      damage_json_file(file, mutator);
    }
  }

  ImportReport import(const Path& from, const std::string& to) {
    ImportOptions options;
    options.folder = from;
    options.output = folder_ / ("out/" + to);
    return import_model(io_, options);
  }
  void expect_same_twice(const Path& from, const ImportReport& first) {
    EXPECT_EQ(data::verify_checkpoint(io_, first.checkpoint, {}), std::nullopt);
    EXPECT_EQ(load_config(first.yaml).model.layers, first.model.layers);
    const ImportReport second = import(from, "again");
    EXPECT_TRUE(test::read_file(first.checkpoint / "part-00000.safetensors") ==
                test::read_file(second.checkpoint / "part-00000.safetensors"));
  }

  test::Folder folder_;
  test::UnsyncedIo io_;
  int num_good_ = 0;
};

TEST_F(MutatedFolders, EveryOneIsRefusedOrTakenWhole) {
  const Path room = folder_ / "damaged";
  int taken = 0, refused = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    test::Mutator mutator(static_cast<std::uint64_t>(trial));
    std::filesystem::remove_all(room);
    std::filesystem::copy(good(trial % num_good_), room);
    damage(room, mutator);
    const double start = thread_seconds();
    const test::AllocationMeter meter;
    try {
      expect_same_twice(room, import(room, "run"));
      ++taken;
    } catch (const DataError&) {
      EXPECT_FALSE(std::filesystem::exists(folder_ / "out/run")) << "trial " << trial;
      ++refused;
    }  // any other exception fails the test
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out/.run.partial")) << "trial " << trial;
    EXPECT_LT(meter.peak_bytes(), kMostBytes) << "trial " << trial;
    EXPECT_LT(thread_seconds() - start, kMostSeconds) << "trial " << trial;
    if (testing::Test::HasFailure()) FAIL() << "trial " << trial;
    std::filesystem::remove_all(folder_ / "out");
  }
  EXPECT_GT(taken, kTrials / 50);
  EXPECT_GT(refused, kTrials / 4);
}

}  // namespace
}  // namespace switchyard::app
