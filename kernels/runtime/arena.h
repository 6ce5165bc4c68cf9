// Stack-like memory for values that live for part of a step: activations and scratch.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/runtime/buffer.h"
#include "kernels/runtime/device.h"

namespace switchyard::kernels {

/// Hands out memory from the top of a stack; a Mark takes everything after it back. Grows by adding blocks;
/// once it is empty again the blocks become one, so that steps after the first allocate nothing. Memory is
/// not cleared: builds with assertions fill it with NaN so that a read before a write shows.
class Arena {
 public:
  /// On the queue's device, or on the CPU without one. The queue must outlive the arena.
  explicit Arena(DeviceQueue* queue = nullptr) : queue_(queue) {}
  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;

  /// Uninitialised tensor, valid until the mark taken before it is released.
  TensorView tensor(DType dtype, Shape shape);

  struct Position {
    std::size_t block = 0;
    std::size_t offset = 0;
  };
  Position position() const { return position_; }
  void release(Position position);

  std::size_t used_bytes() const;
  std::size_t peak_bytes() const { return peak_; }

 private:
  DeviceQueue* queue_;
  std::vector<Buffer> blocks_;
  Position position_;
  std::size_t peak_ = 0;
};

/// Releases on scope exit what was taken from the arena inside the scope.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), position_(arena.position()) {}
  ~ArenaScope() { arena_.release(position_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;
  TensorView tensor(DType dtype, Shape shape) { return arena_.tensor(dtype, shape); }

 private:
  Arena& arena_;
  Arena::Position position_;
};

}  // namespace switchyard::kernels
