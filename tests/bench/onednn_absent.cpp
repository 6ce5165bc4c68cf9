#include "tests/bench/opponents.h"

namespace switchyard::bench {

std::unique_ptr<Opponent> onednn(int) {
  return nullptr;
}

}  // namespace switchyard::bench
