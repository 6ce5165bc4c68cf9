// Folders that look like checkpoints and are none, and manifests whose digests are right and whose claims are
// not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/checkpoint/format/names.h"
#include "data/io/real_io.h"
#include "data/io/recording_io.h"
#include "data/storage/digest.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// The manifest with `change` applied and its digest made right again: what a hostile writer would do.
template <typename Change>
std::string forge(const std::string& text, Change change) {
  json document = json::parse(text);
  document.erase("manifest_digest");
  change(document);
  const std::string body = "\"," + document.dump().substr(1);
  return "{\"manifest_digest\":\"" + digest_of(body.data(), body.size()).text() + body;
}
std::string forge_body(const std::string& body) {
  return "{\"manifest_digest\":\"" + digest_of(body.data(), body.size()).text() + body;
}

TEST(StepFolderNames, HaveOneSpellingEach) {
  for (const std::int64_t step :
       {std::int64_t{0}, std::int64_t{12}, std::int64_t{123456789}, std::numeric_limits<std::int64_t>::max()})
    EXPECT_EQ(parse_step_folder_name(step_folder_name(step)), step);
  for (const char* name : {"", "step-", "step-/0000001", "step-:0000001", "step-+0000001", "step-1",
                           "step-000000012", "step-99999999999999999999", "step-00000001x"})
    EXPECT_FALSE(parse_step_folder_name(name)) << name;
  EXPECT_THROW(step_folder_name(-1), InternalError);
  EXPECT_EQ(name_component("az AZ/09.-_{`[@:"), "az_AZ_09_-______");
}

TEST(Decoys, AreNeverLoadedAndEachIsExplained) {
  namespace fs = std::filesystem;
  TemporaryFolder folder;
  RealIo io;
  const fs::path root = folder.path() / "checkpoints";
  save_sample(io, root, {1, 2, 1, "sample", 4});
  const auto other_root = folder.path() / "other";
  const auto real = save_sample(io, other_root, {9, 2, 1, "sample", 4});
  const auto copy = [&](const std::string& name) {
    fs::copy(real, root / name);
    return root / name;
  };
  const auto read = [](const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  const auto overwrite = [](const fs::path& path, const std::string& text) {
    fs::remove_all(path);
    std::ofstream(path, std::ios::binary) << text;
  };
  // Names that do not count, however good the folder behind them.
  for (const char* name :
       {"9", "00000009", "step-9", "step-000000009", "Step-00000009", "step-00000009 ", "step-0000000a",
        "step-00000009.bak", ".tmp-step-00000009-job-1", ".trash-step-00000009-0", "latest", "step--0000009"})
    copy(name);
  // Names that do, and what is wrong behind them.
  fs::create_directory_symlink(real, root / "step-00000009");
  fs::create_directory_symlink("step-00000010", root / "step-00000010");
  overwrite(root / "step-00000011", "a file");
  fs::create_directory(root / "step-00000012");
  copy("step-00000013");  // manifest of step 9
  const auto other_run = save_sample(io, root, {14, 1, 1, "somebody else", 4});
  fs::remove(save_sample(io, root, {15, 1, 1, "sample", 4}) / "manifest.json");
  const auto linked_part = save_sample(io, root, {16, 1, 1, "sample", 4}) / "part-00000.safetensors";
  fs::rename(linked_part, folder.path() / "stolen");
  fs::create_symlink(folder.path() / "stolen", linked_part);
  const auto newer = save_sample(io, root, {17, 1, 1, "sample", 4}) / "manifest.json";
  overwrite(newer, forge(read(newer), [](json& document) { document["format_version"] = 2; }));
  const auto piped = save_sample(io, root, {18, 1, 1, "sample", 4}) / "part-00000.safetensors";
  fs::remove(piped);
  ASSERT_EQ(::mkfifo(piped.c_str(), 0600), 0);
  const auto linked_manifest = save_sample(io, root, {19, 1, 1, "sample", 4}) / "manifest.json";
  fs::rename(linked_manifest, folder.path() / "manifest");
  fs::create_symlink(folder.path() / "manifest", linked_manifest);
  const auto folder_part = save_sample(io, root, {20, 1, 1, "sample", 4}) / "part-00000.safetensors";
  fs::remove(folder_part);
  fs::create_directory(folder_part);

  const auto newest = find_newest(io, root, {"sample", true});
  ASSERT_TRUE(newest.checkpoint);
  EXPECT_EQ(newest.checkpoint->step, 1);
  EXPECT_EQ(difference_from_sample(io, newest.checkpoint->path, 1, 4), "");
  std::vector<std::string> texts;
  for (const auto& rejection : newest.rejections) texts.push_back(rejection.text());
  EXPECT_EQ(texts.size(), 24U);
  const auto expect_reason = [&](const std::string& place, const std::string& reason) {
    EXPECT_THAT(texts,
                ::testing::Contains(::testing::AllOf(HasSubstr((root / place).string()), HasSubstr(reason))));
  };
  expect_reason("9:", "the name is not step- and eight digits");
  expect_reason("step-000000009:", "the name is not");
  expect_reason("Step-00000009:", "the name is not");
  expect_reason(".tmp-step", "an unfinished save");
  expect_reason(".trash-step", "a withdrawn checkpoint");
  expect_reason("step-00000009:", "a symbolic link");
  expect_reason("step-00000010:", "a symbolic link");
  expect_reason("step-00000011:", "not a folder");
  expect_reason("step-00000012", "manifest.json' failed: No such file");
  expect_reason("step-00000013", "the manifest is of step 9; the folder of step 13");
  expect_reason("step-00000014", "another run; expected sample, found somebody else");
  expect_reason("step-00000015", "manifest.json' failed: No such file");
  expect_reason("step-00000016", "symbolic links are not followed");
  expect_reason("step-00000017", "format version 2 is newer than this program");
  expect_reason("step-00000018", "must be a regular file");
  expect_reason("step-00000019", "symbolic links are not followed");
  expect_reason("step-00000020", "must be a regular file");
  EXPECT_EQ(find_newest(io, root, {}).checkpoint->step, 14) << "any run is welcome when none is named";
  EXPECT_THROW(CheckpointReader(io, root / "step-00000009"), Error) << "a linked folder is not read either";
}

class Forgeries : public ::testing::Test {
 protected:
  Forgeries() {
    path_ = save_sample(disk_, "/root", {2, 2, 3, "sample", 4});
    text_ = disk_.contents(path_ / "manifest.json");
  }
  /// Why the store refuses the manifest after the change.
  template <typename Change>
  std::string refusal(Change change) {
    return refusal_of(forge(text_, change));
  }
  std::string refusal_of(std::string text) {
    disk_.contents(path_ / "manifest.json") = std::move(text);
    const auto rejection = verify_checkpoint(disk_, path_, {});
    return rejection ? rejection->text() : "accepted";
  }
  RecordingIo disk_;
  std::filesystem::path path_;
  std::string text_;
};

TEST_F(Forgeries, FileNamesOtherThanThePartsAreRefused) {
  EXPECT_EQ(refusal([](json&) {}), "accepted");
  for (const std::string name :
       {"../step-00000001/part-00000.safetensors", "/etc/passwd", "Part-00000.safetensors",
        "part-0.safetensors", "./part-00000.safetensors", "part-00001.safetensors", "/dev/zero", "", "CON"})
    EXPECT_THAT(refusal([&](json& document) { document["parts"][0]["file"] = name; }),
                HasSubstr("part 0 must be the file 'part-00000.safetensors'"))
        << name;
  EXPECT_THAT(refusal([](json& document) {
                document["parts"][0]["file"] = std::string("part-00000.safetensors\0x", 24);
              }),
              HasSubstr("part 0 must be the file"));
  EXPECT_THAT(refusal([](json& document) { document["parts"][0]["file"] = std::string(100'000, 'x'); }),
              HasSubstr("part 0 must be the file"));
}

TEST_F(Forgeries, EveryRuleOfTheManifestIsEnforced) {
  const auto expect = [&](auto change, const std::string& reason) {
    EXPECT_THAT(refusal(change), HasSubstr(reason));
  };
  expect([](json& d) { d["format_version"] = 0; }, "format version 0 is unknown");
  expect([](json& d) { d["format_version"] = "1"; }, "'format_version' must be an integer");
  expect([](json& d) { d["step"] = -1; }, "'step' must be an integer from 0");
  expect([](json& d) { d["step"] = 18446744073709551615ULL; }, "'step' must be an integer");
  expect([](json& d) { d["step"] = 2.0; }, "'step' must be an integer");
  expect([](json& d) { d["chunk_bytes"] = 0; }, "'chunk_bytes' must be an integer from 4194304");
  expect([](json& d) { d.erase("run"); }, "must have 'run'");
  expect([](json& d) { d["run"] = 3; }, "'run' must be text; got number");
  expect([](json& d) { d["extra"] = 3; }, "unknown key 'extra'");
  expect([](json& d) { d["parts"][0]["extra"] = 3; }, "part 0 has the unknown key 'extra'");
  expect([](json& d) { d["parts"] = 3; }, "'parts' must be a list");
  expect([](json& d) { d["parts"][0] = 3; }, "part 0 must be an object");
  expect([](json& d) { d["state"] = 3; }, "'state' must be an object");
  expect([](json& d) { d["state"]["seed"] = 1.5; }, "'seed' must be an integer");
  expect([](json& d) { d["continuation"] = {"nobody"}; },
         "'continuation' must list keys of 'state'; got nobody");
  expect([](json& d) { d["continuation"] = {1}; }, "'continuation' must list keys");
  expect([](json& d) { d["parts"][0]["size_bytes"] = 0; }, "'size_bytes' must be an integer from 1");
  expect([](json& d) { d["parts"][0]["size_bytes"] = 10'000'000; }, "must have 3 chunk digests; got 1");
  expect([](json& d) { d["parts"][0]["digest"] = std::string(32, 'G'); }, "32 lower-case hexadecimal");
  expect([](json& d) { d["parts"][0]["digest"] = std::string(32, 'A'); }, "32 lower-case hexadecimal");
  expect([](json& d) { d["parts"][0]["digest"] = 3; }, "'digest' must be text");
  expect([](json& d) { d["parts"][0]["digest"] = std::string(32, '0'); },
         "the digest of the whole file differs");
  expect([](json& d) { d["parts"][0]["chunk_digests"][0] = std::string(32, '0'); }, "chunk 0");
  expect([](json& d) { d["parts"].erase(1); }, "'part' must be an integer from 0 to 0");
  auto& tensor = "tensors";
  expect([&](json& d) { d[tensor][0]["name"] = ""; }, "a tensor name must have 1 to 512 bytes");
  expect([&](json& d) { d[tensor][0]["name"] = std::string(513, 'a'); },
         "a tensor name must have 1 to 512 bytes");
  expect([&](json& d) { d[tensor][0]["name"] = std::string("a\0b", 3); }, "control characters");
  expect([&](json& d) { d[tensor][0]["name"] = d[tensor][1]["name"]; }, "rising order of name");
  expect([&](json& d) { std::swap(d[tensor][0], d[tensor][1]); }, "rising order of name");
  expect([&](json& d) { d[tensor][0]["dtype"] = "f32"; }, "unknown dtype 'f32'");
  expect([&](json& d) { d[tensor][0]["shape"] = {-1}; }, "'shape' must be an integer from 0");
  expect([&](json& d) { d[tensor][0]["shape"] = {1LL << 40, 1LL << 40}; }, "fewer than 2^60 elements");
  expect([&](json& d) { d[tensor][0]["shape"] = {1LL << 61}; }, "fewer than 2^60 elements");
  expect([&](json& d) { d[tensor][0]["shape"] = {1, 1, 1, 1, 1, 1, 1, 1, 512}; }, "at most 8 dims");
  expect([&](json& d) { d[tensor][0]["slices"].erase(0); }, "are missing");
  expect([&](json& d) { d[tensor][0]["slices"].push_back(d[tensor][0]["slices"][0]); }, "given twice");
  expect([&](json& d) { d[tensor][0]["slices"][0]["offset"] = 1LL << 40; }, "'offset' must be an integer");
  expect(
      [&](json& d) {
        d[tensor][0]["slices"][0]["offset"] =
            d["parts"][d[tensor][0]["slices"][0]["part"].get<std::size_t>()]["size_bytes"];
      },
      "must lie inside part");
  expect([&](json& d) { d[tensor][0]["slices"][0]["offset"] = 8; },
         "the header has not what the manifest says of");
  expect([&](json& d) { d[tensor][0]["dtype"] = "I32"; }, "the header has not what the manifest says of");
  expect([&](json& d) { d[tensor].erase(0); }, "entries, the manifest");
  expect([](json& d) { d["parts"] = std::vector<int>(kMaxParts + 1, 0); },
         "there may be at most 100000 parts; got 100001");
}

TEST(Forgery, OfAShorterTensorIsSeenInThePart) {
  RecordingIo disk;
  const float values[8] = {};
  const std::vector<TensorSlice> slices = {{"a", DType::f32, {8}, 0, 8, values}};
  const auto attempt = begin_attempt(disk, "/root", {2, "job", "nonce", 0});
  const std::vector<PartRecord> parts = {write_part(disk, attempt, 0, slices)};
  const auto path = commit(disk, attempt, sample_commit_spec({2, 1, 1, "sample", 4}), parts);
  std::string& text = disk.contents(path / "manifest.json");
  text = forge(text, [](json& document) {
    json& tensor = document["tensors"][0];
    tensor["shape"][0] = tensor["slices"][0]["end"] = 7;
  });
  const auto rejection = verify_checkpoint(disk, path, {});
  ASSERT_TRUE(rejection);
  EXPECT_THAT(rejection->text(), HasSubstr("the header has not what the manifest says of 'a'"));
}

TEST_F(Forgeries, TextsThatAreNoManifest) {
  EXPECT_THAT(refusal_of(""), HasSubstr("must begin with its own digest; got 0 bytes"));
  EXPECT_THAT(refusal_of("{}"), HasSubstr("must begin with its own digest"));
  EXPECT_THAT(refusal_of(std::string(1000, 'x')),
              HasSubstr("must begin with its own digest; got 1000 bytes"));
  EXPECT_THAT(refusal_of(forge_body("")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal_of(forge_body("\"}x")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal_of(forge_body(std::string("\"}\0", 3))), HasSubstr("NUL"));
  EXPECT_THAT(refusal_of(forge_body("\",\"a\":\"\xff\"}")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal_of(forge_body("\",\"a\":1,\"a\":1}")), HasSubstr("key 'a' appears twice"));
  EXPECT_THAT(refusal_of(forge_body("\",\"a\":" + std::string(100000, '['))),
              HasSubstr("nested at most 8 deep"));
  EXPECT_THAT(refusal_of(forge_body("\"}")), HasSubstr("must have 'format_version'"));
}

}  // namespace
}  // namespace switchyard::data
