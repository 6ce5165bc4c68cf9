// A part of the training state, named so that any layout finds it again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/runtime/tensor.h"

namespace switchyard::moe {

/// Elements [begin, end) of a flattened global tensor, in memory of this rank or of its device (not owned).
struct StateSlice {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  ///< global
  std::int64_t begin = 0;
  std::int64_t end = 0;
  void* data = nullptr;
  Device device = Device::cpu;

  /// One-dimensional.
  TensorView values() const { return {data, dtype, {end - begin}, device}; }
};

}  // namespace switchyard::moe
