// The mistakes that converters make: each turns one numeric switch of an imported model, as if config.json or
// a tensor had been understood wrongly.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/app/parity/parity_model.h"

namespace switchyard::test {

struct Mutation {
  std::string name;
  /// Changes the model; false if it has nothing of that kind.
  std::function<bool(Imported&)> apply;
  friend void PrintTo(const Mutation& mutation, std::ostream* out) { *out << mutation.name; }
};

std::vector<Mutation> mutations();

}  // namespace switchyard::test
