// A tensor's values for the host, wherever the tensor is.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/runtime/transfer.h"

namespace switchyard::kernels {

/// To read: the tensor itself on the CPU, else a copy, for which it waits. Valid while this lives.
class HostValues {
 public:
  HostValues(Context& context, ConstTensorView tensor);
  ConstTensorView view() const { return view_; }
  template <typename T>
  const T* data() const {
    return view_.data<T>();
  }

 private:
  std::vector<std::byte> copy_;
  ConstTensorView view_;
};

/// To change: as HostValues; finish() puts the values back. Without finish() a device's tensor is as before.
class HostEdit {
 public:
  HostEdit(Context& context, TensorView tensor);
  TensorView view() const { return view_; }
  void finish() { copy(context_, tensor_, view_); }

 private:
  Context& context_;
  TensorView tensor_;
  std::vector<std::byte> copy_;
  TensorView view_;
};

}  // namespace switchyard::kernels
