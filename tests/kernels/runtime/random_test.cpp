#include "kernels/runtime/random.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/runtime/buffer.h"

namespace switchyard::kernels {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words words_of(std::uint64_t key, std::uint64_t index, std::uint64_t second) {
  RandomStream stream(0, "");
  stream.key = key;
  return stream.words(index, second);
}

// The known answers that its authors publish for Philox-4x32-10.
TEST(RandomStream, GivesThePublishedWords) {
  EXPECT_EQ(words_of(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words_of(~0ULL, ~0ULL, ~0ULL), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(words_of(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, SeedAndPurposeNameTheStream) {
  EXPECT_EQ(RandomStream(1, "a").key, RandomStream(1, "a").key);
  EXPECT_NE(RandomStream(1, "a").key, RandomStream(2, "a").key);
  EXPECT_NE(RandomStream(1, "a").key, RandomStream(1, "b").key);
}

TEST(RandomStream, UniformIsInRangeWithTheRightMean) {
  const RandomStream stream(3, "uniform");
  constexpr int kCount = 20000;
  double sum = 0;
  for (int i = 0; i < kCount; ++i) {
    const double value = stream.uniform(static_cast<std::uint64_t>(i));
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
}

TEST(FillNormal, HasTheMomentsOfANormal) {
  constexpr std::int64_t kCount = 100000;
  const Tensor tensor(DType::f32, {kCount});
  fill_normal(tensor, RandomStream(5, "normal"), 0, 2.0);
  double sum = 0, squares = 0, fourth = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    const double z = static_cast<double>(tensor.data<float>()[i]) / 2;
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
  }
  const double scale = 5 / std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(sum / kCount, 0, scale);
  EXPECT_NEAR(squares / kCount, 1, scale * std::sqrt(2.0));
  EXPECT_NEAR(fourth / kCount, 3, scale * std::sqrt(96.0));
}

TEST(FillNormal, ASliceEqualsThatPartOfTheWhole) {
  const RandomStream stream(5, "slice");
  const Tensor whole(DType::f32, {101});
  fill_normal(whole, stream, 0, 0.5);
  for (const std::int64_t begin : {1, 2, 33, 100}) {
    const Tensor part(DType::f32, {101 - begin});
    fill_normal(part, stream, static_cast<std::uint64_t>(begin), 0.5);
    for (std::int64_t i = 0; i < 101 - begin; ++i)
      ASSERT_EQ(part.data<float>()[i], whole.data<float>()[begin + i]) << begin << " " << i;
  }
}

}  // namespace
}  // namespace switchyard::kernels
