#include "tests/bench/opponents.h"

namespace switchyard::bench {

std::unique_ptr<Opponent> openblas(int) {
  return nullptr;
}

}  // namespace switchyard::bench
