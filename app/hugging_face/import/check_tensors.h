// Whether a folder holds exactly the tensors that its config.json asks for.
#pragma once

#include <string>
#include <vector>

#include "app/hugging_face/import/model_folder.h"
#include "app/hugging_face/tensors/pieces.h"

namespace switchyard::app {

/// Throws DataError with a line for each tensor (twenty at most) that is missing, of another shape or dtype,
/// or that the model has no place for. A head beside a tied embedding is no extra if its bytes are the
/// embedding's; neither are frequencies of rotary positions, which follow from config.json.
void check_tensors(ModelFolder& folder, const std::vector<TensorPiece>& pieces, bool is_tied);

}  // namespace switchyard::app
