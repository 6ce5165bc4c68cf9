// Matrix products of other libraries, to hold ours against.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace switchyard::bench {

/// c (m, n) = [c +] op(a) * op(b), row-major; op(a) is (m, k), op(b) is (k, n).
struct Product {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
  bool accumulate;
};

class Opponent {
 public:
  virtual ~Opponent() = default;
  virtual std::string name() const = 0;
  virtual void run(const Product& product, const float* a, const float* b, float* c) = 0;
};

/// Null where the library was not found when this was built.
std::unique_ptr<Opponent> openblas(int threads);
std::unique_ptr<Opponent> onednn(int threads);

/// The ones that are there; says on stdout which are missing.
std::vector<std::unique_ptr<Opponent>> opponents(int threads);

}  // namespace switchyard::bench
