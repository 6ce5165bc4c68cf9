#include "kernels/runtime/peak.h"

#include "kernels/cuda/products/chip.h"
#include "kernels/cuda/products/peak/multiply_adds.h"
#include "kernels/cuda/runtime/stream.h"

namespace switchyard::kernels {

template <>
double Peak<Backend::cuda>::run(Context& context, std::int64_t pieces, std::int64_t rounds) {
  ArenaScope scope(context.scratch());
  auto* sink = scope.tensor(DType::f32, {1}).data<float>();
  // The pieces are made for a few threads of a host: here each is a block for every multiprocessor.
  const int processors = cuda::current_chip().processors;
  cuda::multiply_adds(cuda::stream_of(context), pieces * processors, rounds, sink);
  context.queue()->wait();
  return cuda::kOperationsOfRound * processors;
}

}  // namespace switchyard::kernels
