// Choice of the next token from logits.
#pragma once

#include <cstdint>

#include "kernels/runtime/tensor.h"

namespace switchyard::moe {

struct SamplerOptions {
  double temperature = 1.0;  ///< 0 = the most likely token (ties: the lowest id)
  std::int64_t top_k = 0;    ///< keep the k most likely tokens; 0 = all
  double top_p = 1.0;        ///< keep the fewest most likely tokens whose probabilities reach this
  std::uint64_t seed = 1;
};

/// Token id for `position`: a function of (logits (V) f32, options, position) and nothing else.
std::int32_t sample_token(ConstTensorView logits, const SamplerOptions& options, std::uint64_t position);

}  // namespace switchyard::moe
