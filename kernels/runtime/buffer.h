// Owned, aligned memory on one device.
#pragma once

#include <cstddef>
#include <utility>

#include "kernels/runtime/tensor.h"

namespace switchyard::kernels {

/// Owns zero-filled bytes, aligned to 64 (to 2 MiB, with huge pages asked for, from 2 MiB on).
/// Throws DeviceError with the size when there is no memory.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A tensor that owns its memory, zero-filled.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape)
      : buffer_(static_cast<std::size_t>(shape.elements()) * dtype_size(dtype)),
        view_(buffer_.data(), dtype, shape) {}
  const TensorView& view() const { return view_; }
  operator TensorView() const { return view_; }
  operator ConstTensorView() const { return view_; }
  template <typename T>
  T* data() const {
    return view_.data<T>();
  }

 private:
  Buffer buffer_;
  TensorView view_;
};

}  // namespace switchyard::kernels
