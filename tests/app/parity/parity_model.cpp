#include "tests/app/parity/parity_model.h"

#include <algorithm>
#include <cmath>

#include "app/hugging_face/family/read_config.h"
#include "moe/decode/generator.h"
#include "moe/model/model.h"
#include "parallel/communicators/local.h"
#include "parallel/mesh/mesh.h"
#include "tests/support/op_test.h"

namespace switchyard::test {

Imported import_case(const ParityCase& parity_case) {
  const app::ModelDescription description = app::read_model_description(parity_case.config, parity_case.name);
  Imported imported{description.model, {}, {}};
  imported.pieces =
      app::tensor_pieces(app::traits_of(description.family), imported.config, imported.config.vocab_size);
  for (const app::TensorPiece& piece : imported.pieces) {
    const std::vector<float> values = folder_tensor(parity_case.seed, piece.name, piece.shape);
    std::vector<float>& tensor = imported.weights[piece.tensor];
    if (tensor.size() < static_cast<std::size_t>(piece.end))
      tensor.resize(static_cast<std::size_t>(piece.end));
    std::copy(values.begin(), values.end(), tensor.begin() + piece.begin);
  }
  return imported;
}

namespace {

// A model on one rank with the imported weights.
struct ParityModel {
  ParityModel(const Imported& imported, std::int64_t B, std::int64_t T)
      : world(parallel::single_rank()),
        mesh(*world, 1, imported.config.moe.experts),
        model(context, imported.config, mesh, {1, B * T, T, 0}, 1) {
    for (moe::ParameterGroup* group : {&model.dense(), &model.experts()}) {
      for (moe::Parameter& parameter : group->parameters()) {
        const std::vector<float>& values = imported.weights.at(parameter.spec.name);
        if (std::ssize(values) != parameter.elements())
          throw InternalError("the folder's " + parameter.spec.name + " has another size");
        std::copy(values.begin(), values.end(), parameter.weight.data<float>());
      }
    }
  }

  Tensors gradients() {
    Tensors result;
    for (moe::ParameterGroup* group : {&model.dense(), &model.experts()})
      for (const moe::Parameter& parameter : group->parameters())
        for (const double sum : values_of(parameter.gradient.sums))
          result[parameter.spec.name].push_back(static_cast<float>(sum * kernels::kGridUnit));
    return result;
  }

  kernels::Context context{1};
  std::unique_ptr<parallel::Communicator> world;
  parallel::Mesh mesh;
  moe::Model model;
};

double logit_distance(ParityModel& ours, const ParityCase& stored, const std::vector<std::int32_t>& tokens) {
  double worst = 0;
  auto expected = stored.logits.begin();
  for (std::int64_t b = 0; b < stored.B; ++b) {
    moe::Generator generator(ours.model, stored.T);
    for (std::int64_t t = 0; t < stored.T; ++t) {
      const auto token = tokens[static_cast<std::size_t>(b * stored.T + t)];
      const ConstTensorView logits = generator.feed(ours.context, {token});
      for (std::int64_t v = 0; v < logits.elements(); ++v, ++expected) {
        const double difference = std::abs(static_cast<double>(logits.data<float>()[v] - *expected));
        worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
      }
    }
  }
  return worst;
}

double relative_distance(const float* actual, const float* expected, std::int64_t count) {
  double most = 0, most_difference = 0, squares = 0, squared_differences = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = static_cast<double>(expected[i]);
    const double difference = static_cast<double>(actual[i]) - value;
    if (std::isnan(difference)) return INFINITY;
    most = std::max(most, std::abs(value));
    most_difference = std::max(most_difference, std::abs(difference));
    squares += value * value;
    squared_differences += difference * difference;
  }
  if (most == 0) return most_difference == 0 ? 0 : INFINITY;
  return std::max(most_difference / most, std::sqrt(squared_differences / squares));
}

void compare_gradients(const Tensors& ours, const ParityCase& stored, const Imported& imported,
                       Distance& result) {
  std::vector<const app::TensorPiece*> pieces;
  for (const app::TensorPiece& piece : imported.pieces) pieces.push_back(&piece);
  std::sort(pieces.begin(), pieces.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  std::size_t offset = 0;
  for (const app::TensorPiece* piece : pieces) {
    const std::int64_t count = piece->end - piece->begin;
    const float* expected = stored.gradients.data() + offset;
    offset += static_cast<std::size_t>(count);
    const auto found = ours.find(piece->tensor);
    if (found == ours.end() || std::ssize(found->second) < piece->end) continue;
    const double far = relative_distance(found->second.data() + piece->begin, expected, count);
    ++result.gradients;
    if (far <= result.gradient) continue;
    result.gradient = far;
    result.worst_gradient = piece->name;
  }
  if (offset != stored.gradients.size())
    throw InternalError(stored.name + ": the folder's tensors are not those that were stored");
}

}  // namespace

bool Distance::is_close() const {
  constexpr double kLossRounding = 1e-5;
  return logits <= 1e-5 && gradient <= 1e-4 && cross_entropy <= kLossRounding && auxiliary <= kLossRounding &&
         loss <= kLossRounding;
}

Distance distance(const ParityCase& stored, const Imported& imported) {
  const std::int64_t N = stored.B * stored.T, V = imported.config.vocab_size;
  const auto tokens = folder_tokens(stored.seed, "tokens", N, V);
  const auto targets = folder_tokens(stored.seed, "targets", N, V);
  ParityModel ours(imported, stored.B, stored.T);
  const kernels::Tensor token_tensor = i32_tensor({stored.B, stored.T}, tokens);
  const kernels::Tensor target_tensor = i32_tensor({stored.B, stored.T}, targets);
  ours.model.clear_gradients();
  const moe::UnitResult unit =
      ours.model.train_unit(ours.context, {token_tensor, target_tensor}, moe::Recompute::none);
  double auxiliary = 0;
  for (const moe::RoutingStatistics& layer : unit.routing)
    auxiliary += layer.aux_loss + layer.sequence_aux_loss + layer.z_loss;
  Distance result;
  result.cross_entropy = std::abs(unit.loss - stored.cross_entropy);
  result.auxiliary = std::abs(auxiliary - stored.auxiliary);
  result.loss = std::abs(unit.loss + auxiliary - stored.loss);
  compare_gradients(ours.gradients(), stored, imported, result);
  result.logits = logit_distance(ours, stored, tokens);
  return result;
}

}  // namespace switchyard::test
