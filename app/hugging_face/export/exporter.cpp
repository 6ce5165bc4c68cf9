#include "app/hugging_face/export/exporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "app/hugging_face/export/parts.h"
#include "app/hugging_face/family/match.h"
#include "app/hugging_face/family/write_config.h"
#include "app/hugging_face/output_folder.h"
#include "app/hugging_face/tokenizer/tokenizer_files.h"
#include "app/trained/trained_model.h"
#include "data/checkpoint/load/reader.h"
#include "data/safetensors/safetensors_file.h"
#include "data/storage/staging_folder.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

constexpr std::int64_t kPieceElements = std::int64_t{1} << 18;

/// Copies tensors from the checkpoint into files, some hundred thousand elements at a time.
class TensorCopy {
 public:
  TensorCopy(data::Io& io, data::CheckpointReader& reader, const ExportOptions& options, std::int64_t total)
      : io_(io), reader_(reader), options_(options), total_(total) {}

  void write(const std::filesystem::path& folder, const PartPlan& part) {
    std::vector<data::SafetensorsSpec> specs;
    std::map<std::string_view, const TensorPiece*> by_name;
    for (const TensorPiece& piece : part.pieces) {
      specs.push_back({piece.name, std::string(safetensors_name(options_.format)), piece.shape});
      by_name[piece.name] = &piece;
    }
    data::SafetensorsWriter writer(io_, folder / part.file, std::move(specs), {{"format", "pt"}});
    for (const data::SafetensorsEntry& entry : writer.header().entries)
      append(writer, *by_name.at(entry.name));
    writer.finish();
  }

 private:
  void append(data::SafetensorsWriter& writer, const TensorPiece& piece) {
    for (std::int64_t at = piece.begin; at < piece.end; at += kPieceElements) {
      const std::int64_t stop = std::min(at + kPieceElements, piece.end);
      const auto count = static_cast<std::size_t>(stop - at);
      values_.resize(count);
      bytes_.resize(count * element_bytes(options_.format));
      reader_.read(piece.tensor, at, stop, values_.data());
      from_floats(options_.format, values_.data(), count, bytes_.data());
      writer.append(bytes_.data(), bytes_.size());
      done_ += static_cast<std::int64_t>(bytes_.size());
      if (options_.progress) options_.progress(done_, total_);
    }
  }

  data::Io& io_;
  data::CheckpointReader& reader_;
  const ExportOptions& options_;
  std::int64_t total_, done_ = 0;
  std::vector<float> values_;
  std::vector<char> bytes_;
};

/// Every tensor that the pieces read, as the model of the configuration has it.
void check_checkpoint(const data::CheckpointReader& reader, const moe::ModelConfig& model,
                      const std::filesystem::path& checkpoint) {
  for (const moe::ParameterSpec& spec : moe::parameter_specs(model)) {
    const data::TensorRecord* tensor = reader.find(spec.name);
    if (tensor == nullptr || tensor->dtype != DType::f32 || tensor->shape != spec.shape)
      throw CheckpointError(
          fmt::format("{}: must hold the f32 tensor '{}' with the shape of its own configuration",
                      checkpoint.string(), spec.name));
  }
}

/// Rows of embedding and head that go out. Those above the tokenizer's are padding, except where the weights
/// came from another program: there they belong to the model.
std::int64_t rows_of(const ExportOptions& options, const StoredModel& stored) {
  const std::int64_t all = stored.config.model.vocab_size;
  if (options.vocabulary > all)
    throw UserError(
        fmt::format("--vocab-size must be at most the model's {}; got {}", all, options.vocabulary));
  if (options.vocabulary > 0 && stored.has_tokenizer && options.vocabulary < stored.tokenizer->vocab_size())
    throw UserError(fmt::format("--vocab-size must leave a row for each of the tokenizer's {} ids; got {}",
                                stored.tokenizer->vocab_size(), options.vocabulary));
  if (options.vocabulary > 0) return options.vocabulary;
  return stored.is_imported ? all : std::min(all, stored.tokenizer->vocab_size());
}

}  // namespace

ExportReport export_model(data::Io& io, const ExportOptions& options) {
  check_output(options.output, options.replace, "generation_config.json");
  const StoredModel stored = read_stored_model(io, options.path);
  const moe::ModelConfig& model = stored.config.model;
  const FamilyTraits& family = choose_family(model, options.family);
  data::CheckpointReader reader(io, stored.checkpoint);
  check_checkpoint(reader, model, stored.checkpoint);

  ExportReport report;
  report.family = family.family;
  report.checkpoint = stored.checkpoint;
  report.step = stored.state.step;
  report.vocabulary = rows_of(options, stored);
  report.padding = model.vocab_size - report.vocabulary;
  const auto pieces = tensor_pieces(family, model, report.vocabulary);
  const auto bytes_each = static_cast<std::int64_t>(element_bytes(options.format));
  for (const TensorPiece& piece : pieces) report.bytes += (piece.end - piece.begin) * bytes_each;
  report.tensors = static_cast<std::int64_t>(pieces.size());

  const std::string_view dtype = options.format == ElementFormat::f32 ? "float32" : "bfloat16";
  ConfigFacts facts{report.vocabulary, {}, dtype};
  std::map<std::string, std::string> texts;
  if (stored.has_tokenizer) {  // a folder that came without one goes out without one
    facts.end_of_document = stored.tokenizer->end_of_document();
    texts = tokenizer_files(*stored.tokenizer, model.max_sequence_length);
  }
  texts["config.json"] = model_description(family, model, facts).dump(2) + "\n";
  texts["generation_config.json"] = generation_description(facts).dump(2) + "\n";
  const auto parts = plan_parts(pieces, bytes_each, options.part_bytes);
  if (parts.size() > 1) texts["model.safetensors.index.json"] = index_text(parts, bytes_each);

  data::StagingFolder staging(options.output);
  TensorCopy copy(io, reader, options, report.bytes);
  for (const PartPlan& part : parts) {
    copy.write(staging.path(), part);
    report.files.push_back(part.file);
  }
  for (const auto& [name, text] : texts) {
    data::write_whole_file(io, staging.path() / name, text);
    report.files.push_back(name);
  }
  staging.commit(options.replace);
  return report;
}

}  // namespace switchyard::app
