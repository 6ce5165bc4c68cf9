// Frequencies of rotary positions, also for sequences longer than those a model was first trained on.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard::kernels {

enum class RopeScalingKind : std::uint8_t {
  none,
  linear,  ///< every frequency divided by the factor (Chen et al., 2023)
  llama3,  ///< only low frequencies are, with a smooth passage (Grattafiori et al., 2024)
  yarn,    ///< the same by a ramp over the dims, and larger queries and keys (Peng et al., 2023)
};

/// What `kind` does not read has no effect.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::none;
  double factor = 1.0;                 ///< how many times longer sequences get
  std::int64_t original_length = 0;    ///< L, tokens of the first training; llama3 and yarn
  double low_frequency_factor = 1.0;   ///< llama3: wavelengths above L / this are stretched by the factor
  double high_frequency_factor = 4.0;  ///< llama3: wavelengths below L / this stay
  double beta_fast = 32.0;             ///< yarn: dims that turn at least this often within L stay
  double beta_slow = 1.0;              ///< yarn: dims that turn at most this often are stretched
  double attention_factor = 0.0;  ///< yarn: multiplies cosine and sine; 0 = 0.1 ln(factor) + 1, at least 1
  bool truncate = true;           ///< yarn: the ends of the ramp are whole dims
};

/// Angle per position of each of the `half` = D/2 pairs: theta^(-2i/D), scaled. In double.
///   llama3, with w = 2 pi / f:  f                      for w < L / high
///                               f / factor             for w > L / low
///                               (1 - s) f / factor + s f,  s = (L / w - low) / (high - low)  between
///   yarn, with r(b) = D ln(L / (2 pi b)) / (2 ln theta), from r(beta_fast) down and r(beta_slow) up, within
///   [0, D - 1]:  m_i = (i - from) / (to - from) within [0, 1];  m_i f / factor + (1 - m_i) f
std::vector<double> rope_frequencies(const RopeScaling& scaling, double theta, std::int64_t half);

/// What cosine and sine are multiplied by: 1 except with yarn.
double rope_attention_factor(const RopeScaling& scaling);

}  // namespace switchyard::kernels
