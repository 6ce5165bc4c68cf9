// Non-owning views of contiguous, row-major tensors. A view is cheap to copy and never allocates.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/runtime/check.h"
#include "kernels/runtime/dtype.h"

namespace switchyard {

enum class Device : std::uint8_t { cpu, cuda };

/// Extents of at most five dims, row-major.
class Shape {
 public:
  static constexpr int kMaxDims = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);

  int ndim() const { return ndim_; }
  std::int64_t operator[](int dim) const { return extents_[static_cast<std::size_t>(dim)]; }
  std::int64_t elements() const;
  bool operator==(const Shape& other) const = default;
  /// "(4, 128)"
  std::string text() const;
  /// The shape without its first dim.
  Shape tail() const;

 private:
  std::array<std::int64_t, kMaxDims> extents_{};
  int ndim_ = 0;
};

namespace detail {
[[noreturn]] void dtype_mismatch(DType wanted, DType found);
}

template <typename Pointer>
class BasicTensorView {
 public:
  BasicTensorView() = default;
  BasicTensorView(Pointer data, DType dtype, Shape shape, Device device = Device::cpu)
      : data_(data), shape_(shape), dtype_(dtype), device_(device) {}
  /// A mutable view is usable wherever a const one is wanted.
  template <typename Other>
  requires std::is_convertible_v<Other, Pointer> BasicTensorView(const BasicTensorView<Other>& other)
      : data_(other.raw()), shape_(other.shape()), dtype_(other.dtype()), device_(other.device()) {}

  /// False for a default-constructed view: "this optional input is absent".
  bool present() const { return shape_.ndim() > 0; }
  Pointer raw() const { return data_; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  std::int64_t dim(int index) const { return shape_[index]; }
  std::int64_t elements() const { return shape_.elements(); }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * dtype_size(dtype_); }

  /// Typed pointer; throws InternalError if T is not the view's dtype.
  template <typename T>
  auto data() const {
    if (DTypeOf<T>::kValue != dtype_) [[unlikely]]
      detail::dtype_mismatch(DTypeOf<T>::kValue, dtype_);
    using Element = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const T, T>;
    return static_cast<Element*>(data_);
  }

  /// Rows [begin, begin + count) of dim 0.
  BasicTensorView rows(std::int64_t begin, std::int64_t count) const;
  /// Element `index` of dim 0, one dim fewer.
  BasicTensorView at(std::int64_t index) const;
  /// Same elements under another shape; the counts must be equal.
  BasicTensorView reshaped(Shape shape) const;

 private:
  Pointer data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
};

using TensorView = BasicTensorView<void*>;
using ConstTensorView = BasicTensorView<const void*>;

extern template class BasicTensorView<void*>;
extern template class BasicTensorView<const void*>;

/// Throws InternalError "<what> must have shape (4, 8); got (4, 7)" unless dtype and shape are as told.
void check_tensor(const char* what, ConstTensorView tensor, DType dtype, const Shape& shape);

/// As check_tensor for one of the two dtypes that activations and the weights of products have, f32 or bf16
/// (`A` in the headers of ops/). Returns it.
DType check_activation(const char* what, ConstTensorView tensor, const Shape& shape);

}  // namespace switchyard
