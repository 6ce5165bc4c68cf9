// Dense products on the GPU. bf16 rows go through cuBLASLt, with an algorithm that keeps them independent;
// fp32 rows, whose sums the contract orders, and all weight gradients through the kernels of the grouped
// products, as one segment of one expert.
#include "kernels/ops/linear.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/products/chip.h"
#include "kernels/cuda/products/dense/columns.h"
#include "kernels/cuda/products/dense/rows.h"
#include "kernels/cuda/products/gradient.h"

namespace switchyard::kernels {

namespace {

void multiply_plain(Context& context, TensorView result, ConstTensorView rows, ConstTensorView weight,
                    bool across, Write write) {
  ArenaScope scope(context.scratch());
  auto* segment = reinterpret_cast<cuda::Segment*>(scope.tensor(DType::i32, {3}).data<std::int32_t>());
  auto* tile_begin = scope.tensor(DType::i32, {2}).data<std::int32_t>();
  cuda::plan_one_segment(cuda::stream_of(context), segment, tile_begin, rows.dim(0), cuda::kPlainTileRows);
  cuda::rows_plain(cuda::stream_of(context),
                   {result.raw(), rows.raw(), weight.raw(), rows.dim(0), 1, rows.dim(1), result.dim(1),
                    across ? cuda::Direction::backward_data : cuda::Direction::forward, write == Write::add},
                   {segment, tile_begin, 1}, cuda::current_chip().processors);
}

// `result` (N, columns) = or += rows (N, depth) * weight.
void multiply(Context& context, TensorView result, ConstTensorView rows, ConstTensorView weight, bool across,
              Write write) {
  if (result.elements() == 0) return;
  if (rows.dim(1) == 0) {
    if (write == Write::overwrite) context.queue()->fill(result.raw(), 0, result.bytes());
    return;
  }
  if (rows.dtype() == DType::f32) return multiply_plain(context, result, rows, weight, across, write);
  cuda::multiply_dense_rows(cuda::stream_of(context),
                            {result.raw(), rows.raw(), weight.raw(), rows.dim(0), rows.dim(1), result.dim(1),
                             across, write == Write::add, rows.dtype(), result.dtype()});
}

}  // namespace

template <>
void Linear<Backend::cuda>::forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                                    ConstTensorView bias) {
  if (!bias.present()) return multiply(context, y, x, weight, false, Write::overwrite);
  if (y.elements() == 0) return;
  ArenaScope scope(context.scratch());  // the bias is added before the one rounding to y
  const TensorView sums = y.dtype() == DType::f32 ? y : scope.tensor(DType::f32, y.shape());
  multiply(context, sums, x, weight, false, Write::overwrite);
  cuda::add_bias(cuda::stream_of(context), y.raw(), y.dtype(), sums.data<float>(), bias.data<float>(),
                 y.dim(0), y.dim(1));
}

template <>
void Linear<Backend::cuda>::backward_data(Context& context, TensorView dx, ConstTensorView dy,
                                          ConstTensorView weight, Write write) {
  multiply(context, dx, dy, weight, true, write);
}

template <>
void Linear<Backend::cuda>::backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                                            ConstTensorView x) {
  const cuda::GradientProduct product{
      cuda::plain(dweight), dy.raw(), x.raw(), dy.dim(0), 1, dy.dim(1), x.dim(1)};
  if (product.M == 0 || product.out == 0 || product.in == 0) return;
  ArenaScope scope(context.scratch());
  const cuda::GradientBlocks plan = cuda::take_gradient_blocks(scope, product.M, 1, 1);
  cuda::plan_one_segment(cuda::stream_of(context), plan, product.M);
  cuda::add_gradient(context, product, plan, x.dtype());
}

template <>
void Linear<Backend::cuda>::backward_bias(Context& context, const GradientSum& dbias, ConstTensorView dy) {
  if (dy.elements() == 0) return;
  cuda::add_bias_gradient(cuda::stream_of(context), cuda::plain(dbias), dy.raw(), dy.dtype(), dy.dim(0),
                          dy.dim(1));
}

}  // namespace switchyard::kernels
