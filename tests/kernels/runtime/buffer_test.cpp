#include "kernels/runtime/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "kernels/runtime/error.h"

namespace switchyard::kernels {
namespace {

TEST(Buffer, IsZeroAndAligned) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{5000}, std::size_t{3} << 20}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    const std::uintptr_t alignment = bytes >= (std::size_t{2} << 20) ? std::uintptr_t{2} << 20 : 64;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment, 0U);
    const auto* data = static_cast<const unsigned char*>(buffer.data());
    for (std::size_t i = 0; i < bytes; i += 997) EXPECT_EQ(data[i], 0);
    EXPECT_EQ(data[bytes - 1], 0);
  }
}

TEST(Buffer, MovesItsMemory) {
  Buffer a(100);
  void* data = a.data();
  Buffer b(std::move(a));
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  Buffer c(7);
  c = std::move(b);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c.bytes(), 100U);
}

TEST(Buffer, EmptyHasNoMemory) {
  EXPECT_EQ(Buffer(0).data(), nullptr);
}

TEST(Buffer, SaysHowMuchCouldNotBeHad) {
  constexpr std::size_t kTooMuch = std::size_t{1} << 60;
  try {
    const Buffer buffer(kTooMuch);
    FAIL();
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(kTooMuch)), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace switchyard::kernels
