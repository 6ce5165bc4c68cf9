// The grouped products on the GPU: plans on the device, then the form that serves.
#include "kernels/ops/grouped_linear.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/products/chip.h"
#include "kernels/cuda/products/gradient.h"
#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/products/grouped/kernels.h"

namespace switchyard::kernels {

namespace {

using cuda::GroupedForm;

const cuda::Segment* table(ConstTensorView segments) {
  return reinterpret_cast<const cuda::Segment*>(segments.data<std::int32_t>());
}

void multiply_rows(Context& context, const cuda::RowsProduct& product, ConstTensorView segments,
                   DType dtype) {
  if (segments.dim(0) == 0 || product.M == 0 || product.columns == 0) return;
  const cuda::Chip chip = cuda::current_chip();
  const bool forward = product.direction == cuda::Direction::forward;
  const GroupedForm form =
      cuda::grouped_form(chip.capability, dtype, forward ? product.depth : product.columns,
                         forward ? product.columns : product.depth);
  ArenaScope scope(context.scratch());
  const cuda::RowTiles tiles{table(segments),
                             scope.tensor(DType::i32, {segments.dim(0) + 1}).data<std::int32_t>(),
                             static_cast<std::int32_t>(segments.dim(0))};
  const auto run = [&](int tile_rows, auto* kernel) {
    cuda::plan_row_tiles(cuda::stream_of(context), tiles, tile_rows);
    kernel(cuda::stream_of(context), product, tiles, chip.processors);
  };
  switch (form) {
    case GroupedForm::warpgroup:
      return run(cuda::kWarpgroupTileRows, cuda::rows_warpgroup);
    case GroupedForm::warp:
      return run(cuda::kWarpTileRows, cuda::rows_warp);
    case GroupedForm::plain:
      return run(cuda::kPlainTileRows, cuda::rows_plain);
  }
}

}  // namespace

template <>
void GroupedLinear<Backend::cuda>::forward(Context& context, TensorView y, ConstTensorView x,
                                           ConstTensorView weight, ConstTensorView segments) {
  multiply_rows(
      context,
      {y.raw(), x.raw(), weight.raw(), x.dim(0), weight.dim(0), x.dim(1), y.dim(1), cuda::Direction::forward},
      segments, x.dtype());
}

template <>
void GroupedLinear<Backend::cuda>::backward_data(Context& context, TensorView dx, ConstTensorView dy,
                                                 ConstTensorView weight, ConstTensorView segments) {
  multiply_rows(context,
                {dx.raw(), dy.raw(), weight.raw(), dy.dim(0), weight.dim(0), dy.dim(1), dx.dim(1),
                 cuda::Direction::backward_data},
                segments, dy.dtype());
}

template <>
void GroupedLinear<Backend::cuda>::backward_weight(Context& context, const GradientSum& dweight,
                                                   ConstTensorView dy, ConstTensorView x,
                                                   ConstTensorView segments) {
  const cuda::GradientProduct product{cuda::plain(dweight), dy.raw(),  x.raw(), dy.dim(0),
                                      dweight.sums.dim(0),  dy.dim(1), x.dim(1)};
  const std::int64_t count = segments.dim(0);
  if (count == 0 || product.M == 0 || product.out == 0 || product.in == 0) return;
  ArenaScope scope(context.scratch());
  const cuda::GradientBlocks plan = cuda::take_gradient_blocks(scope, product.M, count, product.experts);
  auto* next = scope.tensor(DType::i32, {product.experts}).data<std::int32_t>();
  cuda::plan_gradient_blocks(cuda::stream_of(context), plan, next, table(segments),
                             static_cast<std::int32_t>(count), static_cast<std::int32_t>(product.experts));
  cuda::add_gradient(context, product, plan, x.dtype());
}

}  // namespace switchyard::kernels
