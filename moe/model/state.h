// A part of the training state, named so that any layout finds it again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/runtime/dtype.h"

namespace switchyard::moe {

/// Elements [begin, end) of a flattened global tensor, in this rank's memory (not owned).
struct StateSlice {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  ///< global
  std::int64_t begin = 0;
  std::int64_t end = 0;
  void* data = nullptr;
};

}  // namespace switchyard::moe
