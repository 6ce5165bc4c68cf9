// Cross-entropy of a softmax over the vocabulary, in fp32, per row.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// loss (N) and lse (N) are overwritten: lse = logsumexp(logits), loss = lse - logits[target], in nats; 0 for
/// a row whose target is -1 (ignored). logits (N, V) f32, targets (N) i32.
void cross_entropy_forward(Context& context, TensorView loss, TensorView lse, ConstTensorView logits,
                           ConstTensorView targets);

/// dlogits (N, V), f32 or bf16, = scale * (softmax(logits) - onehot(target)), 0 for ignored rows; as f32 it
/// may be the memory of logits.
void cross_entropy_backward(Context& context, TensorView dlogits, ConstTensorView logits,
                            ConstTensorView targets, ConstTensorView lse, float scale);

template <Backend>
struct CrossEntropy {
  static void forward(Context& context, TensorView loss, TensorView lse, ConstTensorView logits,
                      ConstTensorView targets);
  static void backward(Context& context, TensorView dlogits, ConstTensorView logits, ConstTensorView targets,
                       ConstTensorView lse, float scale);
};

}  // namespace switchyard::kernels
