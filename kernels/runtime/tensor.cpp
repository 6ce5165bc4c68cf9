#include "kernels/runtime/tensor.h"

#include <fmt/format.h>

namespace switchyard {

void check_failed(const char* file, int line, const char* condition, const std::string& detail) {
  throw InternalError(fmt::format("internal: {} ({}:{}): {}", condition, file, line, detail));
}

namespace detail {
void dtype_mismatch(DType wanted, DType found) {
  throw InternalError(
      fmt::format("internal: tensor read as {} but it holds {}", dtype_name(wanted), dtype_name(found)));
}
}  // namespace detail

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  SWITCHYARD_CHECK(extents.size() <= kMaxDims, "a shape has at most {} dims; got {}", kMaxDims,
                   extents.size());
  for (std::int64_t extent : extents) {
    SWITCHYARD_CHECK(extent >= 0, "extents are not negative; got {}", extent);
    extents_[static_cast<std::size_t>(ndim_++)] = extent;
  }
}

std::int64_t Shape::elements() const {
  if (ndim_ == 0) return 0;
  std::int64_t product = 1;
  for (int d = 0; d < ndim_; ++d) product *= (*this)[d];
  return product;
}

std::string Shape::text() const {
  std::string out = "(";
  for (int d = 0; d < ndim_; ++d) out += fmt::format("{}{}", d > 0 ? ", " : "", (*this)[d]);
  return out + ")";
}

Shape Shape::tail() const {
  Shape result;
  for (int d = 1; d < ndim_; ++d) result.extents_[static_cast<std::size_t>(d - 1)] = (*this)[d];
  result.ndim_ = ndim_ - 1;
  return result;
}

namespace {
// Byte offset of a pointer that may be const.
template <typename Pointer>
Pointer advanced(Pointer data, std::size_t bytes) {
  using Byte =
      std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const std::byte, std::byte>;
  return data == nullptr ? nullptr : static_cast<Byte*>(data) + bytes;
}

Shape with_first(const Shape& shape, std::int64_t first) {
  switch (shape.ndim()) {
    case 1:
      return {first};
    case 2:
      return {first, shape[1]};
    case 3:
      return {first, shape[1], shape[2]};
    case 4:
      return {first, shape[1], shape[2], shape[3]};
    default:
      return {first, shape[1], shape[2], shape[3], shape[4]};
  }
}
}  // namespace

template <typename Pointer>
BasicTensorView<Pointer> BasicTensorView<Pointer>::rows(std::int64_t begin, std::int64_t count) const {
  SWITCHYARD_CHECK(present() && begin >= 0 && count >= 0 && begin + count <= shape_[0],
                   "rows [{}, {}) of a tensor {}", begin, begin + count, shape_.text());
  const Shape inner = shape_.tail();
  const std::int64_t row = inner.ndim() == 0 ? 1 : inner.elements();
  return {advanced(data_, static_cast<std::size_t>(begin * row) * dtype_size(dtype_)), dtype_,
          with_first(shape_, count), device_};
}

template <typename Pointer>
BasicTensorView<Pointer> BasicTensorView<Pointer>::at(std::int64_t index) const {
  const BasicTensorView one = rows(index, 1);
  return {one.raw(), dtype_, shape_.tail(), device_};
}

template <typename Pointer>
BasicTensorView<Pointer> BasicTensorView<Pointer>::reshaped(Shape shape) const {
  SWITCHYARD_CHECK(shape.elements() == elements(), "{} cannot be seen as {}", shape_.text(), shape.text());
  return {data_, dtype_, shape, device_};
}

template class BasicTensorView<void*>;
template class BasicTensorView<const void*>;

void check_tensor(const char* what, ConstTensorView tensor, DType dtype, const Shape& shape) {
  if (tensor.dtype() != dtype || tensor.shape() != shape) [[unlikely]]
    throw InternalError(fmt::format("internal: {} must be {} {}; got {} {}", what, dtype_name(dtype),
                                    shape.text(), dtype_name(tensor.dtype()), tensor.shape().text()));
}

DType check_activation(const char* what, ConstTensorView tensor, const Shape& shape) {
  const DType dtype = tensor.dtype();
  if ((dtype != DType::f32 && dtype != DType::bf16) || tensor.shape() != shape) [[unlikely]]
    throw InternalError(fmt::format("internal: {} must be f32 or bf16 {}; got {} {}", what, shape.text(),
                                    dtype_name(dtype), tensor.shape().text()));
  return dtype;
}

}  // namespace switchyard
