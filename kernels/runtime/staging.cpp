#include "kernels/runtime/staging.h"

#include <algorithm>
#include <cstring>

namespace switchyard::kernels {

Staging::~Staging() {
  for (const Half& half : halves_) release_pinned_memory(half.memory);
}

Staging::Half& Staging::next_half() {
  Half& half = halves_[turn_++ % halves_.size()];
  if (half.memory == nullptr) {
    half.free = queue_->make_event();
    half.memory = allocate_pinned_memory(kHalfBytes);
  }
  half.free->wait();
  return half;
}

void Staging::upload(void* to, const void* from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += kHalfBytes) {
    const std::size_t piece = std::min(kHalfBytes, bytes - at);
    Half& half = next_half();
    std::memcpy(half.memory, static_cast<const std::byte*>(from) + at, piece);
    queue_->copy_to_device(static_cast<std::byte*>(to) + at, half.memory, piece);
    queue_->record(*half.free);
  }
}

void Staging::download(void* to, const void* from, std::size_t bytes) {
  // One piece is on its way while the piece before it is read.
  Half* arriving = nullptr;
  std::size_t arriving_at = 0;
  for (std::size_t at = 0; at < bytes || arriving != nullptr; at += kHalfBytes) {
    Half* next = nullptr;
    if (at < bytes) {
      next = &next_half();
      queue_->copy_to_host(next->memory, static_cast<const std::byte*>(from) + at,
                           std::min(kHalfBytes, bytes - at));
      queue_->record(*next->free);
    }
    if (arriving != nullptr) {
      arriving->free->wait();
      std::memcpy(static_cast<std::byte*>(to) + arriving_at, arriving->memory,
                  std::min(kHalfBytes, bytes - arriving_at));
    }
    arriving = next;
    arriving_at = at;
  }
}

}  // namespace switchyard::kernels
