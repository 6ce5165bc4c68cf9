#include "kernels/runtime/arena.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace switchyard::kernels {
namespace {

TEST(Arena, TensorsAreAlignedAndApart) {
  Arena arena;
  const TensorView a = arena.tensor(DType::f32, {3});
  const TensorView b = arena.tensor(DType::f32, {5});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.raw()) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.raw()) % 64, 0U);
  EXPECT_GE(b.data<float>(), a.data<float>() + 3);
  EXPECT_EQ(arena.used_bytes(), 128U);
}

TEST(Arena, ScopeGivesBackWhatWasTakenInIt) {
  Arena arena;
  arena.tensor(DType::f32, {16});
  void* inner = nullptr;
  {
    ArenaScope scope(arena);
    inner = scope.tensor(DType::f32, {100}).raw();
    EXPECT_GT(arena.used_bytes(), 400U);
  }
  EXPECT_EQ(arena.used_bytes(), 64U);
  EXPECT_EQ(arena.tensor(DType::f32, {1}).raw(), inner);
  EXPECT_EQ(arena.peak_bytes(), 64U + 448U);
}

TEST(Arena, GrowsWithoutMovingAndBecomesOneBlockOnceEmpty) {
  Arena arena;
  const Arena::Position empty = arena.position();
  const TensorView first = arena.tensor(DType::u8, {1 << 20});
  first.data<std::uint8_t>()[0] = 42;
  arena.tensor(DType::u8, {64 << 20});
  EXPECT_EQ(first.data<std::uint8_t>()[0], 42);
  arena.release(empty);
  const TensorView low = arena.tensor(DType::u8, {1 << 20});
  const TensorView high = arena.tensor(DType::u8, {64 << 20});
  EXPECT_EQ(high.data<std::uint8_t>(), low.data<std::uint8_t>() + (1 << 20));
}

TEST(Arena, AssertingBuildsFillWithNaN) {
#ifdef NDEBUG
  GTEST_SKIP() << "this build has no assertions";
#else
  Arena arena;
  EXPECT_TRUE(std::isnan(arena.tensor(DType::f32, {4}).data<float>()[3]));
#endif
}

}  // namespace
}  // namespace switchyard::kernels
