// Folders that an import must refuse: each by name, as data, with nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "app/hugging_face/import/importer.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using test::ModelWriter;
using testing::HasSubstr;

/// The refusal of the folder `room`/in; empty if it is taken.
std::string refusal(const std::filesystem::path& room) {
  data::RealIo io;
  ImportOptions options;
  options.folder = room / "in";
  options.output = room / "out/run";
  try {
    import_model(io, options);
  } catch (const DataError& error) {
    return error.what();
  }
  return {};
}

struct Damage {
  const char* what;
  std::function<void(const std::filesystem::path& folder, ModelWriter& model)> make;
  const char* expected;
};

std::string bytes_of(const std::filesystem::path& file) {
  return test::read_file(file);
}

void rewrite_header(const std::filesystem::path& file, const std::function<void(std::string&)>& change) {
  std::string bytes = bytes_of(file);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  std::string header = bytes.substr(8, length);
  change(header);
  const std::uint64_t now = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &now, 8);
  test::write_file(file, out + header + bytes.substr(8 + length));
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("no " + from);
  text.replace(at, from.size(), to);
}

void set_index(const std::filesystem::path& folder, const std::string& tensor, const nlohmann::json& file) {
  auto index = nlohmann::json::parse(bytes_of(folder / "model.safetensors.index.json"));
  index["weight_map"][tensor] = file;
  test::write_file(folder / "model.safetensors.index.json", index.dump());
}

const char* const kQuery = "model.layers.0.self_attn.q_proj.weight";

std::vector<Damage> damages() {
  using Path = std::filesystem::path;
  return {
      {"missing tensor",
       [](const Path& folder, ModelWriter& model) {
         model.tensors.erase(kQuery);
         model.write(folder);
       },
       "model.layers.0.self_attn.q_proj.weight: is missing"},
      {"missing expert",
       [](const Path& folder, ModelWriter& model) {
         model.tensors.erase("model.layers.1.block_sparse_moe.experts.2.w3.weight");
         model.write(folder);
       },
       "experts.2.w3.weight: is missing"},
      {"extra tensor",
       [](const Path& folder, ModelWriter& model) {
         model.tensors["model.layers.2.self_attn.q_proj.weight"] = test::sample_tensor("x", {4});
         model.write(folder);
       },
       "model.layers.2.self_attn.q_proj.weight: the model of config.json has no place for it"},
      {"a bias that the family has not",
       [](const Path& folder, ModelWriter& model) {
         model.tensors["model.layers.0.self_attn.q_proj.bias"] = test::sample_tensor("x", {32});
         model.write(folder);
       },
       "q_proj.bias: the model of config.json has no place for it"},
      {"wrong shape",
       [](const Path& folder, ModelWriter& model) {
         model.tensors[kQuery].shape = {16, 64};
         model.write(folder);
       },
       "q_proj.weight: must have the shape [32, 32]; got [16, 64]"},
      {"wrong dtype",
       [](const Path& folder, ModelWriter& model) {
         model.tensors[kQuery].dtype = "I32";
         model.write(folder);
       },
       "q_proj.weight: must be of dtype F32, BF16 or F16; got I32"},
      {"a head that is not the tied embedding",
       [](const Path& folder, ModelWriter& model) {
         model.config["tie_word_embeddings"] = true;
         model.write(folder);
       },
       "lm_head.weight: must equal the embedding"},
      {"truncated file",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::filesystem::resize_file(folder / "model.safetensors", 20'000);
       },
       "the last tensor must end where the file does"},
      {"a file that ends in its header",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::filesystem::resize_file(folder / "model.safetensors", 100);
       },
       "the file ends inside its safetensors header"},
      {"bytes after the last tensor",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::ofstream(folder / "model.safetensors", std::ios::app) << "polyglot";
       },
       "the last tensor must end where the file does"},
      {"a header longer than the format allows",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::string bytes = bytes_of(folder / "model.safetensors");
         bytes[7] = 1;
         test::write_file(folder / "model.safetensors", bytes);
       },
       "a safetensors header has at most 100000000 bytes"},
      {"a tensor twice in one header",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         rewrite_header(folder / "model.safetensors", [](std::string& header) {
           replace(header, "model.layers.0.self_attn.k_proj.weight",
                   "model.layers.0.self_attn.v_proj.weight");
         });
       },
       "'model.layers.0.self_attn.v_proj.weight' appears twice"},
      {"overlapping tensors",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         rewrite_header(folder / "model.safetensors",
                        [](std::string& header) { replace(header, "[12288,24576]", "[0,12288]"); });
       },
       "overlap"},
      {"a shape that overflows",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         rewrite_header(folder / "model.safetensors", [](std::string& header) {
           replace(header, "\"shape\":[96,32]", "\"shape\":[4294967296,4294967296]");
         });
       },
       "no whole number of bytes below 2^63"},
      {"a header that is no JSON",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         rewrite_header(folder / "model.safetensors", [](std::string& header) { header[1] = '!'; });
       },
       "not valid JSON"},
      {"a pickle",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::filesystem::rename(folder / "model.safetensors", folder / "pytorch_model.bin");
       },
       "must have model.safetensors or model.safetensors.index.json"},
      {"no config.json",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::filesystem::remove(folder / "config.json");
       },
       "config.json: must be there"},
      {"a config.json that is no JSON",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         test::write_file(folder / "config.json", "{\"model_type\": \"mixtral\",");
       },
       "config.json: not valid JSON"},
      {"a key twice in config.json",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         test::write_file(folder / "config.json", "{\"model_type\": \"mixtral\", \"model_type\": \"llama\"}");
       },
       "key 'model_type' appears twice"},
      {"a deep config.json",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         test::write_file(folder / "config.json", std::string(100'000, '['));
       },
       "nested at most"},
      {"a model that this program cannot train",
       [](const Path& folder, ModelWriter& model) {
         model.config["rope_parameters"]["rope_theta"] = 0.5;
         model.write(folder);
       },
       "its model is outside of what this program trains"},
      {"both a whole file and an index",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         test::write_tensors(folder / "model.safetensors", model.tensors);
       },
       "not both"},
      {"an index that leads out of the folder",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         test::write_tensors(folder.parent_path() / "secret.safetensors",
                             {{kQuery, model.tensors.at(kQuery)}});
         set_index(folder, kQuery, "../secret.safetensors");
       },
       "weight_map.model.layers.0.self_attn.q_proj.weight: must be the name of a file in the same folder"},
      {"an absolute path in the index",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         test::write_tensors(folder.parent_path() / "secret.safetensors",
                             {{kQuery, model.tensors.at(kQuery)}});
         set_index(folder, kQuery, (folder.parent_path() / "secret.safetensors").string());
       },
       "must be the name of a file in the same folder"},
      {"a folder in the index",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         std::filesystem::create_directory(folder / "inner.safetensors");
         set_index(folder, kQuery, "inner.safetensors");
       },
       "must be a regular file"},
      {"a number in the index",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         set_index(folder, kQuery, 7);
       },
       "must be the name of a file in the same folder; got 7"},
      {"a link to a file outside",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::filesystem::rename(folder / "model.safetensors", folder.parent_path() / "outside");
         std::filesystem::create_symlink("../outside", folder / "model.safetensors");
       },
       "got a symbolic link"},
      {"a linked config.json",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder);
         std::filesystem::rename(folder / "config.json", folder.parent_path() / "outside");
         std::filesystem::create_symlink("../outside", folder / "config.json");
       },
       "got a symbolic link"},
      {"a file of the index that is missing",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         std::filesystem::remove(folder / "part-1.safetensors");
       },
       "part-1.safetensors: must be there"},
      {"a tensor in two files",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         for (const char* part : {"part-0.safetensors", "part-1.safetensors"}) {
           auto tensors = test::read_tensors(folder / part);
           tensors[kQuery] = model.tensors.at(kQuery);
           test::write_tensors(folder / part, tensors);
         }
       },
       "must be in one file only"},
      {"a tensor elsewhere than the index says",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         const auto index = nlohmann::json::parse(bytes_of(folder / "model.safetensors.index.json"));
         const bool is_first = index["weight_map"][kQuery] == "part-0.safetensors";
         set_index(folder, kQuery, is_first ? "part-1.safetensors" : "part-0.safetensors");
       },
       "'model.layers.0.self_attn.q_proj.weight' must be in part-"},
      {"a tensor that the index does not name",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         auto index = nlohmann::json::parse(bytes_of(folder / "model.safetensors.index.json"));
         index["weight_map"].erase(kQuery);
         test::write_file(folder / "model.safetensors.index.json", index.dump());
       },
       "must name every tensor; got no 'model.layers.0.self_attn.q_proj.weight'"},
      {"a tensor of the index that no file has",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         set_index(folder, "model.ghost", "part-0.safetensors");
       },
       "tensor 'model.ghost' must be in part-0.safetensors; it is in no file"},
      {"an index without a map",
       [](const Path& folder, ModelWriter& model) {
         model.write(folder, 2);
         test::write_file(folder / "model.safetensors.index.json", "[1]");
       },
       "must be an object with the object weight_map"},
  };
}

TEST(RefusedFolders, EachDamageIsNamedAndNothingIsLeft) {
  const test::Folder folder;
  int number = 0;
  for (const Damage& damage : damages()) {
    const std::filesystem::path room = folder / std::to_string(++number);
    std::filesystem::create_directories(room);
    ModelWriter model(Family::mixtral);
    damage.make(room / "in", model);
    EXPECT_THAT(refusal(room), HasSubstr(damage.expected)) << damage.what;
    const bool is_clean = !std::filesystem::exists(room / "out") || std::filesystem::is_empty(room / "out");
    EXPECT_TRUE(is_clean) << damage.what;
  }
}

TEST(RefusedFolders, NoMoreThanTwentyTensorsAreListed) {
  const test::Folder folder;
  ModelWriter model(Family::mixtral);
  model.tensors = {{"lm_head.weight", model.tensors.at("lm_head.weight")}};
  model.write(folder / "in");
  const std::string message = refusal(folder.path());
  EXPECT_THAT(message, HasSubstr("and 20 more"));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 21);
}

}  // namespace
}  // namespace switchyard::app
