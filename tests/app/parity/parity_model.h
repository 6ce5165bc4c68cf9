// Our model of a stored case, and how far what it computes is from what is stored.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/hugging_face/tensors/pieces.h"
#include "moe/model/config.h"
#include "tests/app/parity/fixture.h"

namespace switchyard::test {

/// Flattened tensors by name.
using Tensors = std::map<std::string, std::vector<float>>;

/// Our configuration and weights, as the importer would make them of the case's folder.
struct Imported {
  moe::ModelConfig config;
  Tensors weights;                       ///< by our names
  std::vector<app::TensorPiece> pieces;  ///< of the folder
};
Imported import_case(const ParityCase& parity_case);

/// Differences from the stored values.
struct Distance {
  double logits = 0;         ///< largest absolute one
  double cross_entropy = 0;  ///< absolute, like the next two
  double auxiliary = 0;
  double loss = 0;
  /// The worst tensor's: the larger of max |difference| / max |stored| and their norms' ratio.
  double gradient = 0;
  std::string worst_gradient;
  std::size_t gradients = 0;  ///< tensors compared

  /// Within what is promised: logits 1e-5 absolute, gradients 1e-4 relative, losses to fp32 rounding.
  bool is_close() const;
};

/// Runs the model on the CPU in fp32: one forward and backward pass over the case's unit, and the logits of
/// every position by decoding, one token after the other. Gradients of tensors that `imported` no longer has
/// are left out.
Distance distance(const ParityCase& parity_case, const Imported& imported);

}  // namespace switchyard::test
