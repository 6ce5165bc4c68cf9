// How the router walks over rows and picks the best of each. Internal linkage, as in simd.h.
#pragma once

#include <cstdint>

#include "kernels/runtime/context.h"

namespace switchyard::kernels {
namespace {

constexpr std::int64_t kRouterRowGrain = 16;

// NaN ranks below everything; equals do not rank above each other.
bool ranks_above(float a, float b) {
  return a > b || (b != b && a == a);
}

// The best `capacity` of what was offered, best first, the earlier offered first among equals.
struct Best {
  float* keys;
  std::int32_t* ids;
  std::int64_t capacity;
  std::int64_t size = 0;

  void offer(float key, std::int64_t id) {
    if (size == capacity && !ranks_above(key, keys[size - 1])) return;
    std::int64_t at = size < capacity ? size++ : size - 1;
    for (; at > 0 && ranks_above(key, keys[at - 1]); --at) {
      keys[at] = keys[at - 1];
      ids[at] = ids[at - 1];
    }
    keys[at] = key;
    ids[at] = static_cast<std::int32_t>(id);
  }
};

// Memory for one row.
struct RowScratch {
  float* scores;       // (E) what the weights are made of
  float* keys;         // (E) what the choice looks at
  float* best;         // (2E) keys of the best so far: of the experts of a group, then of the groups
  std::int32_t* ids;   // (2E) and who they belong to
  std::int32_t* kept;  // (E) 1 where a group stays

  static constexpr std::int64_t kFloats = 4;    // times E
  static constexpr std::int64_t kIntegers = 3;  // times E
  RowScratch(float* floats, std::int32_t* integers, std::int64_t E)
      : scores(floats), keys(floats + E), best(floats + 2 * E), ids(integers), kept(integers + 2 * E) {}
};

// Runs body(row, scratch of this range) over all rows.
template <typename Body>
void for_rows(Context& context, std::int64_t N, std::int64_t E, Body body) {
  const std::int64_t ranges = (N + kRouterRowGrain - 1) / kRouterRowGrain;
  ArenaScope scope(context.scratch());
  const std::int64_t floats = RowScratch::kFloats * E;
  const std::int64_t integers = RowScratch::kIntegers * E;
  auto* pfloats = scope.tensor(DType::f32, {ranges, floats}).data<float>();
  auto* pintegers = scope.tensor(DType::i32, {ranges, integers}).data<std::int32_t>();
  context.threads().run(N, kRouterRowGrain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t range = begin / kRouterRowGrain;
    const RowScratch scratch(pfloats + range * floats, pintegers + range * integers, E);
    for (std::int64_t n = begin; n < end; ++n) body(n, scratch);
  });
}

}  // namespace
}  // namespace switchyard::kernels
