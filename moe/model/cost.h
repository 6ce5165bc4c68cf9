// What a step costs by formula: for model FLOP/s, utilisation and plans.
#pragma once

#include "moe/model/config.h"

namespace switchyard::moe {

struct ModelCost {
  std::int64_t parameters = 0;         ///< all
  std::int64_t active_parameters = 0;  ///< that one token meets: K of E experts
  /// Floating-point operations of training on one token: 6 for each active matrix element (2 forward, 4
  /// backward; the embedding is a look-up and counts nothing) and 12 * L * H * D * T / 2 for causal
  /// attention; where a layer's window W < T, W - W^2 / 2T takes the place of T / 2.
  double train_flops_per_token = 0;
};

ModelCost model_cost(const ModelConfig& config, std::int64_t sequence_length);

}  // namespace switchyard::moe
