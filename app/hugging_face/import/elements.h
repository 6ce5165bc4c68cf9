// Elements of our global tensors, made on demand in runs of any size: from a folder, pooled, copied, drawn.
// What is imported is never held as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/hugging_face/import/model_folder.h"
#include "app/hugging_face/tensors/pieces.h"
#include "moe/model/config.h"

namespace switchyard::app {

class Elements {
 public:
  virtual ~Elements() = default;
  /// Elements [begin, end) of the flattened tensor `name` (moe/model/parameters.h) into `out`. A pure
  /// function: any run gives the same elements as any other run that holds them.
  virtual void read(std::string_view name, std::int64_t begin, std::int64_t end, float* out) = 0;
};

/// Those of a folder, which must outlive this. `pieces` must have passed check_tensors.
std::unique_ptr<Elements> folder_elements(ModelFolder& folder, const std::vector<TensorPiece>& pieces);

/// Key and value heads (weights, biases and full-width norms) as means of equal runs of those of `source`, a
/// model `before` with more of them: from multi-head to grouped-query attention as in Ainslie et al. (2023).
/// The mean is summed in double in the order of heads.
std::unique_ptr<Elements> pooled_heads(std::unique_ptr<Elements> source, const moe::ModelConfig& before,
                                       std::int64_t kv_heads);

struct Upcycling {
  std::int64_t experts = 0;
  double noise =
      0;  ///< standard deviation of what is added to each expert's copy, so that they can part ways
  std::uint64_t seed = 1;
};
/// Each layer's MLP of `source` as every expert of `model`, with a fresh router (Komatsuzaki et al., 2022).
std::unique_ptr<Elements> upcycled(std::unique_ptr<Elements> source, const moe::ModelConfig& model,
                                   const Upcycling& upcycling);

}  // namespace switchyard::app
