// Owned, aligned memory on one device.
#pragma once

#include <cstddef>
#include <utility>

#include "kernels/runtime/tensor.h"

namespace switchyard::kernels {

/// Owns zero-filled bytes, aligned to 64 (to 2 MiB, with huge pages asked for, from 2 MiB on), on a device to
/// 256. Throws DeviceError with the size when there is no memory. Taking and giving back device memory waits
/// for all work on the device.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes, Device device = Device::cpu);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        device_(other.device_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(device_, other.device_);
    return *this;
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  Device device_ = Device::cpu;
};

/// A tensor that owns its memory, zero-filled.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape, Device device = Device::cpu)
      : buffer_(static_cast<std::size_t>(shape.elements()) * dtype_size(dtype), device),
        view_(buffer_.data(), dtype, shape, device) {}
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
