// What every layer gets: the model's switches, the unit's shape, memory, tables.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/context.h"
#include "moe/model/config.h"
#include "moe/model/parameters.h"

namespace switchyard::moe {

/// B sequences of T tokens; N = B T rows. B may be 0: a rank without a unit still takes part in exchanges.
struct UnitShape {
  std::int64_t B = 0;
  std::int64_t T = 0;
  std::int64_t N() const { return B * T; }
};

struct LayerContext {
  kernels::Context& kernels;
  kernels::Arena& activations;  ///< what outlives the call until the unit's backward pass
  kernels::Arena& host;         ///< for what the host reads or makes of it: `activations` on the CPU
  const ModelConfig& config;
  UnitShape unit;
  ConstTensorView rope_cosine;  ///< (T_max, D / 2)
  ConstTensorView rope_sine;

  /// Dtype of rows of activations and of their gradients (kernels/README.md).
  DType A() const { return config.activation; }

  /// The same layer with its activations in another arena.
  LayerContext with_activations(kernels::Arena& arena) const {
    return {kernels,     arena,    kernels.device() == Device::cpu ? arena : host, config, unit,
            rope_cosine, rope_sine};
  }
};

}  // namespace switchyard::moe
