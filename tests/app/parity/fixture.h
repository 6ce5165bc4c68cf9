// What transformers computed for tiny models of each family, as scripts/parity/models has stored it.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace switchyard::test {

struct ParityCase {
  std::string name;
  std::uint64_t seed = 0;
  std::int64_t B = 0;
  std::int64_t T = 0;
  nlohmann::json config;  ///< config.json
  double cross_entropy = 0;
  double auxiliary = 0;          ///< with its coefficient
  double loss = 0;               ///< cross-entropy and auxiliary loss
  std::vector<float> logits;     ///< (B, T, V)
  std::vector<float> gradients;  ///< of all tensors of the folder, in the order of their names
  friend void PrintTo(const ParityCase& parity_case, std::ostream* out);
};

/// All of them, read once: from the folder that SWITCHYARD_PARITY_FIXTURES names, else from the tree.
const std::vector<ParityCase>& parity_cases();

/// Values of a tensor of a case's folder: those of scripts/parity/models/random_weights.py.
std::vector<float> folder_tensor(std::uint64_t seed, const std::string& name,
                                 const std::vector<std::int64_t>& shape);
/// `what` is "tokens" or "targets".
std::vector<std::int32_t> folder_tokens(std::uint64_t seed, const std::string& what, std::int64_t count,
                                        std::int64_t vocabulary);

}  // namespace switchyard::test
