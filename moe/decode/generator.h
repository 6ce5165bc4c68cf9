// Continues one sequence token by token with cached keys and values.
#pragma once

#include <vector>

#include "moe/model/model.h"

namespace switchyard::moe {

class Generator {
 public:
  /// Room for `capacity` tokens, at most the length of the model's RoPE tables. The model must outlive the
  /// generator.
  Generator(Model& model, std::int64_t capacity);

  /// Feeds tokens (at least one, as many as there is room for) and returns the logits (V) f32 of what follows
  /// the last of them; the view is valid until the next call. The logits of a prefix have the same bits
  /// whether its tokens came in one call or in several.
  ConstTensorView feed(kernels::Context& context, const std::vector<std::int32_t>& tokens);
  std::int64_t length() const;
  std::int64_t capacity() const { return capacity_; }

 private:
  Model& model_;
  std::int64_t capacity_;
  std::vector<kernels::Tensor> memory_;
  std::vector<KvCache> cache_;
  kernels::Tensor logits_;
};

}  // namespace switchyard::moe
