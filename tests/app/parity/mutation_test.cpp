// A switch understood wrongly must be seen by the comparison with transformers, in one case at least.
#include <gtest/gtest.h>

#include "tests/app/parity/mutations.h"

namespace switchyard::test {
namespace {

class MutationTest : public testing::TestWithParam<Mutation> {};

TEST_P(MutationTest, IsSeen) {
  int applied = 0;
  for (const ParityCase& stored : parity_cases()) {
    Imported imported = import_case(stored);
    if (!GetParam().apply(imported)) continue;
    ++applied;
    if (!distance(stored, imported).is_close()) return;
  }
  FAIL() << GetParam().name << " changed nothing that is compared, in " << applied << " models";
}

std::string mutation_name(const testing::TestParamInfo<Mutation>& info) {
  std::string name = info.param.name;
  for (char& letter : name)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(Switches, MutationTest, testing::ValuesIn(mutations()), mutation_name);

TEST(Mutations, AreMany) {
  EXPECT_GE(mutations().size(), 20U);
}

}  // namespace
}  // namespace switchyard::test
