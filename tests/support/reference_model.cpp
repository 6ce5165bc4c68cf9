#include "tests/support/reference_model.h"

#include "kernels/reference/cross_entropy.h"
#include "kernels/reference/embedding.h"
#include "tests/support/reference_model_moe.h"

namespace switchyard::test {

namespace {

template <typename T>
struct BlockTrace {
  Values<T> x;
  AttentionTrace<T> attention;
  Values<T> middle, normed, rstd;
  MlpTrace<T> mlp;
  MoeTrace<T> moe;
};

template <typename T>
struct ModelTrace {
  std::vector<BlockTrace<T>> blocks;
  Values<T> x, normed, rstd, logits, lse;
};

std::string layer_prefix(std::int64_t layer) {
  return "layers." + std::to_string(layer) + ".";
}

const char* head_name(const moe::ModelConfig& config) {
  return config.tied_head ? "embedding.weight" : "head.weight";
}

template <typename T>
Values<T> block(const moe::ModelConfig& config, const SelectionBiases& biases, const NamedValues<T>& all,
                const ReferenceUnit& unit, std::int64_t layer, BlockTrace<T>& trace,
                ReferenceLoss<T>& result) {
  const LayerWeights<T> weights{all, layer_prefix(layer)};
  const std::int64_t N = unit.N(), C = config.width;
  const RopeTables tables = reference_rope_tables(config, unit.T);
  trace.middle = attention_half(config, weights, tables, moe::sliding_window(config, layer), unit.B, unit.T,
                                trace.x, trace.attention);
  trace.normed = zeros<T>(N * C);
  trace.rstd = zeros<T>(N);
  reference::rms_norm_forward(trace.normed.data(), trace.rstd.data(), trace.middle.data(),
                              weights.get("mlp_norm.weight"), N, C, config.norm_epsilon);
  if (!moe::is_moe_layer(config, layer)) {
    Values<T> y = mlp(weights, "mlp.", trace.normed, N, C, trace.mlp);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += trace.middle[i];
    return y;
  }
  const std::size_t index = result.routing.size();
  ReferenceRouting& routing = result.routing.emplace_back();
  result.total += decide(config, weights, biases.empty() ? nullptr : &biases[index], unit.B, unit.T,
                         trace.normed, trace.moe.routing, routing);
  return mixture(config, weights, trace.normed, trace.middle, N, trace.moe);
}

template <typename T>
ReferenceLoss<T> forward(const moe::ModelConfig& config, const SelectionBiases& biases,
                         const NamedValues<T>& weights, const ReferenceUnit& unit, ModelTrace<T>& trace) {
  const std::int64_t N = unit.N(), C = config.width, V = config.vocab_size;
  ReferenceLoss<T> result;
  trace.x = zeros<T>(N * C);
  reference::embedding_forward(trace.x.data(), unit.tokens.data(), weights.at("embedding.weight").data(), N,
                               C);
  for (std::int64_t l = 0; l < config.layers; ++l) {
    BlockTrace<T>& block_trace = trace.blocks.emplace_back();
    block_trace.x = trace.x;
    trace.x = block(config, biases, weights, unit, l, block_trace, result);
  }
  if (config.moe.aux_loss_over == moe::AuxLossOver::all_layers) {
    std::vector<RoutingTrace<T>*> layers;
    for (std::int64_t l = 0; l < config.layers; ++l)
      if (moe::is_moe_layer(config, l))
        layers.push_back(&trace.blocks[static_cast<std::size_t>(l)].moe.routing);
    result.total += loss_over_layers(config.moe, N, layers, result.routing);
  }
  trace.normed = zeros<T>(N * C);
  trace.rstd = zeros<T>(N);
  trace.logits = zeros<T>(N * V);
  trace.lse = zeros<T>(N);
  Values<T> loss = zeros<T>(N);
  reference::rms_norm_forward(trace.normed.data(), trace.rstd.data(), trace.x.data(),
                              weights.at("final_norm.weight").data(), N, C, config.norm_epsilon);
  reference::linear_forward<T>(trace.logits.data(), trace.normed.data(), weights.at(head_name(config)).data(),
                               nullptr, N, V, C);
  reference::cross_entropy_forward(loss.data(), trace.lse.data(), trace.logits.data(), unit.targets.data(), N,
                                   V);
  for (const T& value : loss) result.cross_entropy += value / static_cast<double>(N);
  result.total += result.cross_entropy;
  return result;
}

Values<double> head_backward(const moe::ModelConfig& config, const NamedValues<double>& weights,
                             NamedValues<double>& gradients, const ReferenceUnit& unit,
                             const ModelTrace<double>& trace) {
  const std::int64_t N = unit.N(), C = config.width, V = config.vocab_size;
  Values<double> dlogits = zeros<double>(N * V), dnormed = zeros<double>(N * C), dx = zeros<double>(N * C);
  reference::cross_entropy_backward(dlogits.data(), trace.logits.data(), unit.targets.data(),
                                    trace.lse.data(), 1.0 / static_cast<double>(N), N, V);
  reference::linear_backward_data(dnormed.data(), dlogits.data(), weights.at(head_name(config)).data(), N, V,
                                  C);
  reference::linear_backward_weight(gradients.at(head_name(config)).data(), dlogits.data(),
                                    trace.normed.data(), N, V, C);
  reference::rms_norm_backward(dx.data(), gradients.at("final_norm.weight").data(), dnormed.data(),
                               trace.x.data(), weights.at("final_norm.weight").data(), trace.rstd.data(), N,
                               C);
  return dx;
}

Values<double> block_backward(const moe::ModelConfig& config, const NamedValues<double>& all,
                              NamedValues<double>& all_gradients, const ReferenceUnit& unit,
                              std::int64_t layer, const Values<double>& dy, const BlockTrace<double>& trace) {
  const LayerWeights<double> weights{all, layer_prefix(layer)};
  const LayerGradients gradients{all_gradients, layer_prefix(layer)};
  const std::int64_t N = unit.N(), C = config.width;
  Values<double> dnormed = zeros<double>(N * C);
  if (moe::is_moe_layer(config, layer)) {
    dnormed = mixture_backward(config, weights, gradients, dy, trace.normed, unit.B, N, trace.moe);
  } else {
    mlp_backward(weights, gradients, "mlp.", dnormed, dy, trace.normed, N, C, trace.mlp);
  }
  Values<double> dmiddle = zeros<double>(N * C);
  reference::rms_norm_backward(dmiddle.data(), gradients.get("mlp_norm.weight"), dnormed.data(),
                               trace.middle.data(), weights.get("mlp_norm.weight"), trace.rstd.data(), N, C);
  for (std::size_t i = 0; i < dmiddle.size(); ++i) dmiddle[i] += dy[i];
  return attention_half_backward(config, weights, gradients, reference_rope_tables(config, unit.T),
                                 moe::sliding_window(config, layer), unit.B, unit.T, dmiddle, trace.x,
                                 trace.attention);
}

}  // namespace

template <typename T>
ReferenceLoss<T> reference_loss(const moe::ModelConfig& config, const SelectionBiases& biases,
                                const NamedValues<T>& weights, const ReferenceUnit& unit) {
  ModelTrace<T> trace;
  return forward(config, biases, weights, unit, trace);
}
template ReferenceLoss<double> reference_loss(const moe::ModelConfig&, const SelectionBiases&,
                                              const NamedValues<double>&, const ReferenceUnit&);
template ReferenceLoss<std::complex<double>> reference_loss(const moe::ModelConfig&, const SelectionBiases&,
                                                            const NamedValues<std::complex<double>>&,
                                                            const ReferenceUnit&);

NamedValues<double> reference_gradients(const moe::ModelConfig& config, const SelectionBiases& biases,
                                        const NamedValues<double>& weights, const ReferenceUnit& unit) {
  ModelTrace<double> trace;
  forward(config, biases, weights, unit, trace);
  NamedValues<double> gradients;
  for (const auto& [name, values] : weights) gradients[name].assign(values.size(), 0.0);
  Values<double> dx = head_backward(config, weights, gradients, unit, trace);
  for (std::int64_t l = config.layers; l-- > 0;)
    dx = block_backward(config, weights, gradients, unit, l, dx, trace.blocks[static_cast<std::size_t>(l)]);
  reference::embedding_backward(gradients.at("embedding.weight").data(), dx.data(), unit.tokens.data(),
                                unit.N(), config.width);
  return gradients;
}

}  // namespace switchyard::test
