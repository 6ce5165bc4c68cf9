// Which tensor goes into which file of an exported folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/hugging_face/tensors/pieces.h"

namespace switchyard::app {

struct PartPlan {
  std::string file;                 ///< model.safetensors, or model-00001-of-00003.safetensors
  std::vector<TensorPiece> pieces;  ///< at least one
};

/// Cuts `pieces`, in order, into files of at most `part_bytes` of tensors each; a larger tensor has a file of
/// its own. One file alone has the plain name.
std::vector<PartPlan> plan_parts(const std::vector<TensorPiece>& pieces, std::int64_t element_bytes,
                                 std::int64_t part_bytes);

/// model.safetensors.index.json of more than one part: its text.
std::string index_text(const std::vector<PartPlan>& parts, std::int64_t element_bytes);

}  // namespace switchyard::app
