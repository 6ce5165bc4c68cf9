#include "app/hugging_face/import/weights_checkpoint.h"

#include <variant>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/format/part.h"
#include "data/checkpoint/save/attempt.h"
#include "data/storage/digest.h"

namespace switchyard::app {

namespace {

constexpr std::int64_t kPartElements = std::int64_t{1} << 30;

std::int64_t elements_of(const moe::ParameterSpec& spec) {
  std::int64_t elements = 1;
  for (const std::int64_t dim : spec.shape) elements *= dim;
  return elements;
}

/// Whole tensors in runs of about kPartElements; one that is larger is cut.
std::vector<std::vector<data::TensorSlice>> parts_of(const std::vector<moe::ParameterSpec>& specs) {
  std::vector<std::vector<data::TensorSlice>> parts(1);
  std::int64_t filled = 0;
  for (const moe::ParameterSpec& spec : specs) {
    const std::int64_t elements = elements_of(spec);
    for (std::int64_t begin = 0; begin < elements; begin += kPartElements) {
      const std::int64_t end = std::min(elements, begin + kPartElements);
      if (filled > 0 && filled + (end - begin) > kPartElements) {
        parts.emplace_back();
        filled = 0;
      }
      parts.back().push_back({spec.name, DType::f32, spec.shape, begin, end, nullptr});
      filled += end - begin;
    }
  }
  return parts;
}

}  // namespace

WrittenWeights write_weights(data::Io& io, const std::filesystem::path& root,
                             const std::vector<moe::ParameterSpec>& specs, Elements& elements,
                             const WeightsCheckpoint& checkpoint) {
  const auto parts = parts_of(specs);
  WrittenWeights written;
  for (const auto& spec : specs) written.elements += elements_of(spec);
  std::int64_t total = 0, done = 0;
  for (const auto& part : parts) total += data::part_file_bytes(part);

  data::AttemptSpec attempt_spec;
  attempt_spec.job = "import";
  attempt_spec.expected_bytes = total;
  const auto attempt = data::begin_attempt(io, root, attempt_spec);
  const data::SliceSource source = [&](const data::TensorSlice& slice, std::int64_t begin, std::int64_t end,
                                       void* out) {
    elements.read(slice.name, begin, end, static_cast<float*>(out));
    done += (end - begin) * static_cast<std::int64_t>(sizeof(float));
    if (checkpoint.progress) checkpoint.progress(done, total);
  };
  std::vector<data::PartRecord> records;
  for (std::size_t i = 0; i < parts.size(); ++i)
    records.push_back(data::write_part(io, attempt, static_cast<int>(i), parts[i], source));

  data::CommitSpec commit;
  commit.run = checkpoint.run;
  commit.state = checkpoint.state;
  commit.continuation = checkpoint.continuation;
  const std::string& config = std::get<std::string>(checkpoint.state.at("config"));
  commit.config_digest = data::digest_of(config.data(), config.size()).text();
  written.folder_name = data::commit(io, attempt, commit, records).filename().string();
  return written;
}

}  // namespace switchyard::app
