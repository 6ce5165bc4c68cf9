#include "kernels/runtime/isa.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "kernels/runtime/error.h"

namespace switchyard::kernels {
namespace {

class IsaTest : public testing::Test {
 protected:
  IsaTest() {
    if (const char* value = std::getenv(kVariable)) kept_ = value;
  }
  ~IsaTest() override {
    if (kept_.empty()) {
      unsetenv(kVariable);
    } else {
      setenv(kVariable, kept_.c_str(), 1);
    }
  }
  static constexpr const char* kVariable = "SWITCHYARD_ISA";

 private:
  std::string kept_;
};

TEST_F(IsaTest, NamesComeBack) {
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx})
    EXPECT_EQ(isa_from_name(isa_name(isa)), isa);
  EXPECT_EQ(isa_from_name("avx3"), std::nullopt);
}

TEST_F(IsaTest, EveryLevelUpToTheDetectedOneIsAvailable) {
  const std::vector<Isa> levels = available_isas();
  ASSERT_FALSE(levels.empty());
  EXPECT_EQ(levels.front(), Isa::generic);
  EXPECT_EQ(levels.back(), detected_isa());
}

TEST_F(IsaTest, TheVariableLowersTheLevel) {
  unsetenv(kVariable);
  EXPECT_EQ(chosen_isa(), detected_isa());
  setenv(kVariable, "generic", 1);
  EXPECT_EQ(chosen_isa(), Isa::generic);
}

TEST_F(IsaTest, TilesAreUsableWhereTheLevelIsDetected) {
  EXPECT_EQ(amx_is_usable(), detected_isa() == Isa::amx);
}

TEST_F(IsaTest, TheMessageNamesEveryLevel) {
  setenv(kVariable, "sse9", 1);
  try {
    chosen_isa();
    FAIL() << "accepted";
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(), "SWITCHYARD_ISA must be generic, avx2, avx512, avx512_bf16 or amx; got 'sse9'");
  }
}

TEST_F(IsaTest, RefusesUnknownAndMissingLevels) {
  setenv(kVariable, "sse9", 1);
  EXPECT_THROW(chosen_isa(), UserError);
  if (detected_isa() == Isa::amx) return;
  setenv(kVariable, "amx", 1);
  EXPECT_THROW(chosen_isa(), UserError);
}

}  // namespace
}  // namespace switchyard::kernels
