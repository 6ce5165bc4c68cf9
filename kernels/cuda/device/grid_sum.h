// Where a kernel adds a gradient. For host code too, which the C++ compiler reads without CUDA's device functions.
#pragma once

#include <cstdint>

namespace switchyard::kernels::cuda {

/// A GradientSum in plain pointers.
struct GridSum {
  std::int64_t* sums = nullptr;
  std::int64_t* overflow = nullptr;
  std::int64_t limit = 0;
};

}  // namespace switchyard::kernels::cuda
