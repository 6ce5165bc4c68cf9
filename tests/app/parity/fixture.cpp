#include "tests/app/parity/fixture.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "data/io/real_io.h"
#include "data/safetensors/safetensors_file.h"
#include "kernels/runtime/random.h"

namespace switchyard::test {

namespace fs = std::filesystem;

void PrintTo(const ParityCase& parity_case, std::ostream* out) {
  *out << parity_case.name;
}

namespace {

fs::path fixtures_folder() {
  if (const char* given = std::getenv("SWITCHYARD_PARITY_FIXTURES"); given != nullptr) return given;
  return SWITCHYARD_SOURCE_DIR "/tests/app/parity/fixtures";
}

std::vector<float> read_all(data::SafetensorsReader& file, const std::string& name) {
  const data::SafetensorsEntry* entry = file.find(name);
  if (entry == nullptr || entry->dtype != "F32")
    throw DataError(name + " is not a float32 tensor of the file");
  std::vector<float> values(static_cast<std::size_t>(entry->end - entry->begin) / sizeof(float));
  file.read(*entry, 0, values.data(), values.size() * sizeof(float));
  return values;
}

std::vector<ParityCase> read_cases() {
  data::RealIo io;
  std::vector<ParityCase> cases;
  std::vector<fs::path> texts;
  for (const auto& entry : fs::directory_iterator(fixtures_folder()))
    if (entry.path().extension() == ".json") texts.push_back(entry.path());
  std::sort(texts.begin(), texts.end());
  for (const fs::path& path : texts) {
    std::ifstream text(path);
    data::SafetensorsReader tensors(io, fs::path(path).replace_extension(".safetensors"));
    const nlohmann::json family = nlohmann::json::parse(text);
    for (const nlohmann::json& stored : family.at("cases")) {
      ParityCase& one = cases.emplace_back();
      one.name = stored.at("name");
      one.seed = stored.at("seed");
      one.B = stored.at("sequences");
      one.T = stored.at("length");
      one.config = stored.at("config");
      one.cross_entropy = stored.at("cross_entropy");
      one.auxiliary = stored.at("auxiliary");
      one.loss = stored.at("loss");
      one.logits = read_all(tensors, one.name + "/logits");
      one.gradients = read_all(tensors, one.name + "/gradients");
    }
  }
  return cases;
}

}  // namespace

const std::vector<ParityCase>& parity_cases() {
  static const std::vector<ParityCase> cases = read_cases();
  return cases;
}

std::vector<float> folder_tensor(std::uint64_t seed, const std::string& name,
                                 const std::vector<std::int64_t>& shape) {
  double center = 0, reach = std::sqrt(3.0 / static_cast<double>(shape.back()));
  if (name.ends_with("norm.weight")) center = 1, reach = 0.5;
  if (name.ends_with(".bias")) reach = 0.5;
  if (name.ends_with("embed_tokens.weight")) reach = 0.5;
  std::int64_t count = 1;
  for (const std::int64_t dim : shape) count *= dim;
  const kernels::RandomStream stream(seed, "parity " + name);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t word = stream.words(static_cast<std::uint64_t>(i))[0];
    const double symmetric = static_cast<double>(word >> 8) * 0x1p-23 - 1.0;
    values.push_back(static_cast<float>(center + reach * symmetric));
  }
  return values;
}

std::vector<std::int32_t> folder_tokens(std::uint64_t seed, const std::string& what, std::int64_t count,
                                        std::int64_t vocabulary) {
  const kernels::RandomStream stream(seed, "parity " + what);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t word = stream.words(static_cast<std::uint64_t>(i))[0];
    tokens.push_back(static_cast<std::int32_t>(word % static_cast<std::uint64_t>(vocabulary)));
  }
  return tokens;
}

}  // namespace switchyard::test
