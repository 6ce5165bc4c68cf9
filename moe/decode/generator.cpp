#include "moe/decode/generator.h"

#include <algorithm>

namespace switchyard::moe {

Generator::Generator(Model& model, std::int64_t capacity)
    : model_(model), capacity_(capacity), logits_(DType::f32, {model.config().vocab_size}) {
  const ModelConfig& config = model.config();
  const Device device = model.context().device();
  const Shape shape = {capacity, config.kv_heads * head_width(config)};
  for (std::int64_t l = 0; l < config.layers; ++l) {
    memory_.emplace_back(config.activation, shape, device);
    const TensorView k = memory_.back();
    memory_.emplace_back(config.activation, shape, device);
    cache_.push_back({k, memory_.back(), 0});
  }
}

std::int64_t Generator::length() const {
  return cache_.front().length;
}

ConstTensorView Generator::feed(kernels::Context& context, const std::vector<std::int32_t>& tokens) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  SWITCHYARD_CHECK(count > 0 && length() + count <= capacity_, "{} tokens after {} of {}", count, length(),
                   capacity_);
  kernels::Tensor ids(DType::i32, {count});
  std::copy(tokens.begin(), tokens.end(), ids.data<std::int32_t>());
  model_.decode(context, logits_, ids, cache_);
  return logits_.view();
}

}  // namespace switchyard::moe
