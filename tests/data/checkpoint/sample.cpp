#include "tests/data/checkpoint/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <stdexcept>

#include "data/safetensors/header.h"

namespace switchyard::data {

std::vector<SampleTensor> sample_tensors(std::int64_t step, int kilobytes) {
  const std::int64_t rows = kilobytes;
  std::vector<SampleTensor> tensors = {
      {"embedding.weight", DType::f32, {rows, 128}, ""},
      {"layers.0.moe.experts.down.weight", DType::bf16, {4, rows, 32}, ""},
      {"layers.0.norm.weight", DType::f32, {17}, ""},
      {"optimizer/moment.embedding.weight", DType::f32, {rows, 64}, ""},
      {"router.bias \"quoted\" \xc3\xa9", DType::i64, {9}, ""},
      {"temperature", DType::f64, {}, ""},
      {"unused.expert", DType::u8, {3, 0, 2}, ""},
  };
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    auto& tensor = tensors[t];
    tensor.bytes.resize(static_cast<std::size_t>(*element_count(tensor.shape)) * dtype_size(tensor.dtype));
    std::mt19937_64 random(static_cast<std::uint64_t>(step) * 100 + t);
    for (char& byte : tensor.bytes) byte = static_cast<char>(random() >> 56);
  }
  return tensors;
}

std::vector<std::vector<TensorSlice>> cut_at_random(const std::vector<SampleTensor>& tensors, int num_parts,
                                                    std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<TensorSlice>> parts(static_cast<std::size_t>(num_parts));
  for (const auto& tensor : tensors) {
    const std::int64_t elements = *element_count(tensor.shape);
    std::vector<std::int64_t> cuts = {0, elements};
    for (std::uint64_t n = random() % 5; n > 0 && elements > 0; --n)
      cuts.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(elements + 1)));
    std::sort(cuts.begin(), cuts.end());
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const char* data = tensor.bytes.data() + static_cast<std::size_t>(cuts[i]) * dtype_size(tensor.dtype);
      parts[random() % parts.size()].push_back(
          {tensor.name, tensor.dtype, tensor.shape, cuts[i], cuts[i + 1], data});
    }
  }
  for (auto& part : parts) std::shuffle(part.begin(), part.end(), random);
  return parts;
}

CommitSpec sample_commit_spec(const SaveSpec& spec) {
  CommitSpec commit_spec;
  commit_spec.step = spec.step;
  commit_spec.run = spec.run;
  commit_spec.config_digest = "0123";
  commit_spec.state = {
      {"step", spec.step}, {"seed", std::int64_t{-7}}, {"layout", fmt::format("{}", spec.num_parts)}};
  commit_spec.continuation = {"step", "seed"};
  return commit_spec;
}

std::filesystem::path save_sample(Io& io, const std::filesystem::path& root, const SaveSpec& spec) {
  const auto tensors = sample_tensors(spec.step, spec.kilobytes);
  const auto parts = cut_at_random(tensors, spec.num_parts, spec.cut_seed);
  std::int64_t bytes = 0;
  for (const auto& part : parts) bytes += part_file_bytes(part);
  const auto attempt = begin_attempt(io, root, {spec.step, "job", "nonce", bytes});
  try {
    std::vector<PartRecord> records;
    for (std::size_t i = 0; i < parts.size(); ++i)
      records.push_back(PartRecord::parse(write_part(io, attempt, static_cast<int>(i), parts[i]).text()));
    return commit(io, attempt, sample_commit_spec(spec), records);
  } catch (const Error&) {
    abandon(io, attempt);
    throw;
  }
}

std::string difference_from_sample(Io& io, const std::filesystem::path& checkpoint, std::int64_t step,
                                   int kilobytes) {
  CheckpointReader reader(io, checkpoint);
  const auto tensors = sample_tensors(step, kilobytes);
  if (reader.step() != step) return fmt::format("step {}", reader.step());
  if (reader.tensors().size() != tensors.size()) return fmt::format("{} tensors", reader.tensors().size());
  for (const auto& tensor : tensors) {
    const auto* record = reader.find(tensor.name);
    if (record == nullptr) return "no " + tensor.name;
    if (record->dtype != tensor.dtype || record->shape != tensor.shape) return "other form of " + tensor.name;
    std::string bytes(tensor.bytes.size(), '\0');
    reader.read(tensor.name, 0, record->elements(), bytes.data());
    if (bytes != tensor.bytes) return "other bytes in " + tensor.name;
  }
  return "";
}

std::int64_t trials(const char* variable, std::int64_t fallback) {
  const char* text = std::getenv(variable);
  return text == nullptr ? fallback : std::stoll(text);
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "switchyard-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace switchyard::data
