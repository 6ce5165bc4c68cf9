// Models of a few hundred parameters with weights that make every path matter, and their units.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/runtime/context.h"
#include "moe/model/model.h"
#include "parallel/communicators/local.h"
#include "parallel/mesh/mesh.h"
#include "tests/support/reference_model.h"

namespace switchyard::test {

/// A model and the seed under which no decision of its router is close to a tie.
struct TinyCase {
  std::string name;
  moe::ModelConfig config;
  std::uint64_t seed = 1;
  friend void PrintTo(const TinyCase& tiny, std::ostream* out) { *out << tiny.name; }
};

/// Two layers of width 8, 13 token ids, dense.
moe::ModelConfig dense_config();
/// The same with 6 experts of width 4, 2 for each token.
moe::ModelConfig moe_config();
/// Together they take every switch of ModelConfig both ways.
std::vector<TinyCase> tiny_cases();
/// Those of them whose rows never compete for an expert's capacity.
std::vector<TinyCase> dropless_cases();
std::string tiny_case_name(const testing::TestParamInfo<TinyCase>& info);

/// B sequences of T tokens and targets below V, the first target ignored.
ReferenceUnit random_unit(const moe::ModelConfig& config, std::int64_t B, std::int64_t T, std::uint64_t seed);

/// Token and target tensors of a unit.
struct UnitTensors {
  explicit UnitTensors(const ReferenceUnit& unit);
  moe::UnitInput input() const { return {tokens, targets}; }
  kernels::Tensor tokens, targets;
};

/// Sets every weight and selection bias: matrices that keep the size of their input, norms around 1. Each
/// element depends on the seed, the name and the global index only.
void set_random_weights(moe::Model& model, std::uint64_t seed);

/// Limits that fit units of B sequences of T tokens.
moe::ModelLimits tiny_limits(std::int64_t B, std::int64_t T, std::int64_t units_per_step = 1);

/// A model on one rank with random weights.
struct TinyModel {
  TinyModel(const moe::ModelConfig& config, std::uint64_t seed, const moe::ModelLimits& limits,
            int threads = 1, kernels::Isa isa = kernels::chosen_isa());

  NamedValues<double> weights();
  SelectionBiases biases() const;
  /// Exact sums times the grid unit.
  NamedValues<double> gradients();
  std::vector<moe::Parameter*> parameters();

  kernels::Context context;
  std::unique_ptr<parallel::Communicator> world;
  parallel::Mesh mesh;
  moe::Model model;
};

}  // namespace switchyard::test
