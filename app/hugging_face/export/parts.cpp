#include "app/hugging_face/export/parts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace switchyard::app {

std::vector<PartPlan> plan_parts(const std::vector<TensorPiece>& pieces, std::int64_t element_bytes,
                                 std::int64_t part_bytes) {
  std::vector<PartPlan> parts;
  std::int64_t filled = 0;
  for (const TensorPiece& piece : pieces) {
    const std::int64_t size = (piece.end - piece.begin) * element_bytes;
    if (parts.empty() || (filled > 0 && filled + size > part_bytes)) {
      parts.emplace_back();
      filled = 0;
    }
    parts.back().pieces.push_back(piece);
    filled += size;
  }
  for (std::size_t i = 0; i < parts.size(); ++i)
    parts[i].file = parts.size() == 1 ? "model.safetensors"
                                      : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, parts.size());
  return parts;
}

std::string index_text(const std::vector<PartPlan>& parts, std::int64_t element_bytes) {
  std::int64_t elements = 0;
  nlohmann::json files;  // sorted by name
  for (const PartPlan& part : parts)
    for (const TensorPiece& piece : part.pieces) {
      files[piece.name] = part.file;
      elements += piece.end - piece.begin;
    }
  const nlohmann::json index = {
      {"metadata", {{"total_parameters", elements}, {"total_size", elements * element_bytes}}},
      {"weight_map", files}};
  return index.dump(2) + "\n";
}

}  // namespace switchyard::app
