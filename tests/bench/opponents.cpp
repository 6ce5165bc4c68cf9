#include "tests/bench/opponents.h"

#include <fmt/format.h>

namespace switchyard::bench {

std::vector<std::unique_ptr<Opponent>> opponents(int threads) {
  std::vector<std::unique_ptr<Opponent>> found;
  if (auto library = openblas(threads)) {
    found.push_back(std::move(library));
  } else {
    fmt::print("OpenBLAS is missing: install libopenblas-dev and configure again to compare with it\n");
  }
  if (auto library = onednn(threads)) {
    found.push_back(std::move(library));
  } else {
    fmt::print("oneDNN is missing: install libdnnl-dev and configure again to compare with it\n");
  }
  return found;
}

}  // namespace switchyard::bench
