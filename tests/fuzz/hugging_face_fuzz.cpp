// Foreign bytes as the header of a safetensors file and as a config.json. Anything but a DataError, or an
// answer that breaks its contract, is a finding.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "app/hugging_face/family/match.h"
#include "app/hugging_face/family/read_config.h"
#include "app/hugging_face/family/write_config.h"
#include "app/hugging_face/tensors/pieces.h"
#include "data/safetensors/header.h"
#include "data/safetensors/strict_json.h"
#include "kernels/runtime/error.h"

namespace {

using namespace switchyard;

void require(bool holds) {
  if (!holds) std::abort();
}

void read_header(const std::string& text) {
  constexpr std::int64_t kData = 64;
  const std::int64_t file_bytes = static_cast<std::int64_t>(text.size()) + 8 + kData;
  const data::SafetensorsHeader header = data::parse_safetensors_header(text, file_bytes, "fuzz");
  std::int64_t reached = header.data_begin;
  for (const data::SafetensorsEntry& entry : header.entries) {
    require(entry.begin == reached && entry.end >= entry.begin);
    const auto elements = data::element_count(entry.shape);
    require(elements &&
            *elements * data::safetensors_dtype_bits(entry.dtype) == 8 * (entry.end - entry.begin));
    reached = entry.end;
  }
  require(reached == file_bytes);
}

void read_config(const std::string& text) {
  constexpr int kDepth = 32;
  const nlohmann::json config = data::parse_strict_json(text, kDepth, "fuzz");
  const app::ModelDescription description = app::read_model_description(config, "fuzz");
  const app::FamilyTraits& family = app::traits_of(description.family);
  const moe::ModelConfig& model = description.model;
  // What is accepted is of the family, and is written and read again as itself.
  require(app::obstacles(family, model).empty());
  const nlohmann::json written = app::model_description(family, model, {model.vocab_size, 0, "float32"});
  require(app::read_model_description(written, "fuzz").family == description.family);
  if (model.layers * (model.moe.experts + 1) > 1000) return;
  for (const app::TensorPiece& piece : app::tensor_pieces(family, model, model.vocab_size))
    require(piece.begin >= 0 && piece.end > piece.begin);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  try {
    if (bytes[0] % 2 == 0)
      read_header(text);
    else
      read_config(text);
  } catch (const DataError&) {
  }
  return 0;
}
