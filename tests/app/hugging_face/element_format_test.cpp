#include "app/hugging_face/tensors/element_format.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace switchyard::app {
namespace {

TEST(ElementFormat, EveryHalfIsReadExactly) {
  for (std::uint32_t word = 0; word < 0x10000; ++word) {
    const auto half = static_cast<std::uint16_t>(word);
    float value = 0;
    to_floats(ElementFormat::f16, &half, 1, &value);
    _Float16 expected{};
    std::memcpy(&expected, &half, 2);
    if (std::isnan(static_cast<float>(expected)))
      EXPECT_TRUE(std::isnan(value)) << word;
    else
      EXPECT_EQ(std::bit_cast<std::uint32_t>(value),
                std::bit_cast<std::uint32_t>(static_cast<float>(expected)))
          << word;
  }
}

TEST(ElementFormat, EveryBfloatComesBackWithItsBits) {
  std::vector<std::uint16_t> words(0x10000), back(0x10000);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint16_t>(i);
  std::vector<float> values(words.size());
  to_floats(ElementFormat::bf16, words.data(), words.size(), values.data());
  from_floats(ElementFormat::bf16, values.data(), values.size(), back.data());
  EXPECT_EQ(back, words);
  EXPECT_EQ(values[0x3f80], 1.0F);
  EXPECT_EQ(values[0xc040], -3.0F);
}

TEST(ElementFormat, NamesAndSizes) {
  EXPECT_EQ(element_format("BF16"), ElementFormat::bf16);
  EXPECT_EQ(element_format("F8_E4M3"), std::nullopt);
  EXPECT_EQ(element_bytes(ElementFormat::f16), 2U);
  EXPECT_EQ(element_bytes(ElementFormat::f32), 4U);
}

}  // namespace
}  // namespace switchyard::app
