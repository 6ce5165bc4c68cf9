// Which layers hold a dense MLP in place of experts: two rules of two programs.
#pragma once

#include <cstdint>
#include <set>

#include "moe/model/config.h"

namespace switchyard::app {

/// transformers' rule: layer l (from 0) holds experts if it is not in `dense` and (l + 1) mod `step` is 0.
struct DenseLayers {
  std::int64_t layers = 0;
  std::int64_t step = 1;
  std::set<std::int64_t> dense;

  bool is_sparse(std::int64_t layer) const { return dense.count(layer) == 0 && (layer + 1) % step == 0; }
};

bool all_sparse(const DenseLayers& layers);
/// Sets first_dense_layers and every, and dense_layers where those two do not say it.
void to_our_rule(const DenseLayers& layers, moe::MoeConfig& moe);
/// `step` alone where that says it, else step 1 and a list.
DenseLayers from_our_rule(const moe::ModelConfig& model);

}  // namespace switchyard::app
