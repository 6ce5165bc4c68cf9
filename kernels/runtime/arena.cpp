#include "kernels/runtime/arena.h"

#include <algorithm>
#include <cstring>

namespace switchyard::kernels {

namespace {
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kDeviceAlignment =
    256;  // whole lines of the device's caches, and what bulk copies want
constexpr std::size_t kFirstBlock = std::size_t{4} << 20;

std::size_t rounded(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}
}  // namespace

TensorView Arena::tensor(DType dtype, Shape shape) {
  const Device device = queue_ == nullptr ? Device::cpu : Device::cuda;
  const std::size_t bytes = rounded(static_cast<std::size_t>(shape.elements()) * dtype_size(dtype),
                                    queue_ == nullptr ? kAlignment : kDeviceAlignment);
  while (position_.block < blocks_.size() && position_.offset + bytes > blocks_[position_.block].bytes()) {
    ++position_.block;
    position_.offset = 0;
  }
  if (position_.block == blocks_.size()) {
    std::size_t total = 0;
    for (const Buffer& block : blocks_) total += block.bytes();
    blocks_.emplace_back(std::max({bytes, total / 2, kFirstBlock}), device);
    position_.offset = 0;
  }
  auto* data = static_cast<std::byte*>(blocks_[position_.block].data()) + position_.offset;
  position_.offset += bytes;
  peak_ = std::max(peak_, used_bytes());
#ifndef NDEBUG
  constexpr std::uint8_t kOnes = 0xff;  // NaN as f32, f64 and bf16; -1 as integer
  if (queue_ == nullptr) {
    std::memset(data, kOnes, bytes);
  } else {
    queue_->fill(data, kOnes, bytes);
  }
#endif
  return {data, dtype, shape, device};
}

void Arena::release(Position position) {
  position_ = position;
  if (position.block == 0 && position.offset == 0 && blocks_.size() > 1) {
    std::size_t total = 0;
    for (const Buffer& block : blocks_) total += block.bytes();
    blocks_.clear();
    blocks_.emplace_back(total, queue_ == nullptr ? Device::cpu : Device::cuda);
  }
}

std::size_t Arena::used_bytes() const {
  std::size_t used = position_.offset;
  for (std::size_t b = 0; b < position_.block; ++b) used += blocks_[b].bytes();
  return used;
}

}  // namespace switchyard::kernels
