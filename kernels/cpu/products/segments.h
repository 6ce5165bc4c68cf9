// Rows of a product by the weight they meet. A dense product is one segment.
#pragma once

#include <cstdint>

#include "kernels/runtime/tensor.h"

namespace switchyard::kernels {
namespace {

struct Segment {
  std::int64_t expert;
  std::int64_t first;
  std::int64_t rows;
};

/// A list of segments: the (S, 3) tensor of grouped_linear.h, or one segment of all rows.
class Segments {
 public:
  explicit Segments(std::int64_t rows) : rows_(rows), count_(1) {}
  explicit Segments(ConstTensorView table)
      : table_(table.data<std::int32_t>()), rows_(0), count_(table.dim(0)) {}

  std::int64_t count() const { return count_; }
  Segment operator[](std::int64_t index) const {
    if (table_ == nullptr) return {0, 0, rows_};
    const std::int32_t* entry = table_ + 3 * index;
    return {entry[0], entry[1], entry[2]};
  }

 private:
  const std::int32_t* table_ = nullptr;
  std::int64_t rows_;
  std::int64_t count_;
};

}  // namespace
}  // namespace switchyard::kernels
