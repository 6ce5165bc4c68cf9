// Small tensors that the host and the layer's ops share: token ids, counts, segments, losses. On the CPU they
// are one and the same; on a device they are copied at a visible place.
#pragma once

#include "kernels/runtime/transfer.h"
#include "moe/layers/layer.h"

namespace switchyard::moe {

/// Values of the host where ops can read them: themselves on the CPU, else a copy in the activation arena.
inline ConstTensorView placed(LayerContext& layer, ConstTensorView values) {
  if (layer.kernels.device() == Device::cpu || values.device() != Device::cpu) return values;
  const TensorView copy = layer.activations.tensor(values.dtype(), values.shape());
  kernels::copy(layer.kernels, copy, values);
  return copy;
}

/// A tensor of the host that ops write: give them written(), then fetch(), which waits for them on a device.
/// written() lives in the activation arena.
class Fetched {
 public:
  Fetched(LayerContext& layer, TensorView host)
      : layer_(layer),
        host_(host),
        written_(layer.kernels.device() == Device::cpu || host.device() != Device::cpu
                     ? host
                     : layer.activations.tensor(host.dtype(), host.shape())) {}
  TensorView written() const { return written_; }
  void fetch() { kernels::copy(layer_.kernels, host_, written_); }

 private:
  LayerContext& layer_;
  TensorView host_;
  TensorView written_;
};

}  // namespace switchyard::moe
