#include <dnnl.h>
#include <omp.h>

#include <stdexcept>

#include "tests/bench/opponents.h"

namespace switchyard::bench {

namespace {
class OneDnn : public Opponent {
 public:
  explicit OneDnn(int threads) { omp_set_num_threads(threads); }
  std::string name() const override { return "oneDNN"; }
  void run(const Product& p, const float* a, const float* b, float* c) override {
    const dnnl_status_t status = dnnl_sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n,
                                            p.k, 1.0F, a, p.transpose_a ? p.m : p.k, b,
                                            p.transpose_b ? p.k : p.n, p.accumulate ? 1.0F : 0.0F, c, p.n);
    if (status != dnnl_success) throw std::runtime_error("dnnl_sgemm failed");
  }
};
}  // namespace

std::unique_ptr<Opponent> onednn(int threads) {
  return std::make_unique<OneDnn>(threads);
}

}  // namespace switchyard::bench
