// Hugging Face folders for tests: tiny models of each family as transformers writes them, whole or damaged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/hugging_face/family/family.h"
#include "data/io/real_io.h"

namespace switchyard::test {

struct WrittenTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

/// An element's value follows from the tensor's name and the index; it is exact in fp32, bf16 and fp16.
float sample_value(const std::string& name, std::int64_t index);
/// A tensor of such values. `dtype`: F32, BF16 or F16.
WrittenTensor sample_tensor(const std::string& name, const std::vector<std::int64_t>& shape,
                            const std::string& dtype = "F32");
/// Elements as floats.
std::vector<float> values_of(const WrittenTensor& tensor);

struct ModelWriter {
  /// The model of tests/app/hugging_face/names, with sample values.
  explicit ModelWriter(app::Family family, const std::string& dtype = "F32");

  nlohmann::json config;
  std::map<std::string, WrittenTensor> tensors;

  /// One file, or `files` of them with an index.
  void write(const std::filesystem::path& folder, int files = 1) const;
};

/// For hundreds of imports in a test that is not about power losses: nothing waits for the disk.
class UnsyncedIo : public data::RealIo {
 public:
  void sync_file(const data::OpenFile&) override {}
  void sync_folder(const std::filesystem::path&) override {}
};

/// One file in safetensors layout.
void write_tensors(const std::filesystem::path& file, const std::map<std::string, WrittenTensor>& tensors);
/// A file whose tensors are zeros that take no room on the disk.
void write_empty_tensors(const std::filesystem::path& file, const std::string& dtype,
                         const std::map<std::string, std::vector<std::int64_t>>& shapes);
std::map<std::string, WrittenTensor> read_tensors(const std::filesystem::path& file);

}  // namespace switchyard::test
