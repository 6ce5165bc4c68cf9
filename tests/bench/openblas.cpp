#include <cblas-openblas.h>

#include "tests/bench/opponents.h"

namespace switchyard::bench {

namespace {
class OpenBlas : public Opponent {
 public:
  explicit OpenBlas(int threads) { openblas_set_num_threads(threads); }
  std::string name() const override { return "OpenBLAS"; }
  void run(const Product& p, const float* a, const float* b, float* c) override {
    const auto m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
    cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans,
                p.transpose_b ? CblasTrans : CblasNoTrans, m, n, k, 1.0F, a, p.transpose_a ? m : k, b,
                p.transpose_b ? k : n, p.accumulate ? 1.0F : 0.0F, c, n);
  }
};
}  // namespace

std::unique_ptr<Opponent> openblas(int threads) {
  return std::make_unique<OpenBlas>(threads);
}

}  // namespace switchyard::bench
