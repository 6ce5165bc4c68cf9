// Each tensor of a Hugging Face folder is a run of elements of one of our global tensors: our gate and up
// stand below one another in one tensor, and the experts of a layer are stacked. So a name and a range say it
// all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/hugging_face/family/family.h"
#include "moe/model/config.h"

namespace switchyard::app {

struct TensorPiece {
  std::string name;                 ///< in the folder
  std::vector<std::int64_t> shape;  ///< in the folder
  std::string tensor;               ///< ours: moe/model/parameters.h
  std::int64_t begin = 0;           ///< first element in our flattened tensor
  std::int64_t end = 0;             ///< after the last one
};

/// Most pieces a model may have: what a hostile config.json can make us list.
inline constexpr std::int64_t kMaxPieces = 4'000'000;

/// All tensors of a folder of `family` for `model`, by layer. Embedding and head have `vocabulary` rows in
/// the folder, at most model.vocab_size: the rows above are padding of ours. Throws DataError where there are
/// more than kMaxPieces. The model must match the family (see match.h).
std::vector<TensorPiece> tensor_pieces(const FamilyTraits& family, const moe::ModelConfig& model,
                                       std::int64_t vocabulary);

}  // namespace switchyard::app
