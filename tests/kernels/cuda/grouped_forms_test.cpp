// The three forms of the grouped products (kernels/cuda/products/grouped), each asked for by name, against
// the specification.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/products/grouped/kernels.h"
#include "kernels/reference/grouped_linear.h"
#include "tests/support/cuda_on_host/control.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::cuda::Direction;
using kernels::cuda::GroupedForm;
using Table = std::vector<std::int32_t>;

constexpr int kProcessors = 3;
// Rounding to bf16 of a result, beside that of its sum.
constexpr double kBf16Step = 0x1p-8;

// A matrix of the form's element type.
struct Matrix {
  Matrix(GroupedForm form, const std::vector<double>& values)
      : is_bf16(form != GroupedForm::plain),
        memory(is_bf16 ? DType::bf16 : DType::f32, {static_cast<std::int64_t>(values.size())}) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<float>(values[i]);
      if (is_bf16) {
        memory.data<BFloat16>()[i] = BFloat16(value);
      } else {
        memory.data<float>()[i] = value;
      }
    }
  }
  std::vector<double> values() const {
    std::vector<double> out;
    for (std::int64_t i = 0; i < memory.view().elements(); ++i)
      out.push_back(is_bf16 ? static_cast<double>(static_cast<float>(memory.data<BFloat16>()[i]))
                            : static_cast<double>(memory.data<float>()[i]));
    return out;
  }
  void* raw() const { return memory.view().raw(); }

  bool is_bf16;
  kernels::Tensor memory;
};

class Stream {
 public:
  Stream() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void wait() const {
    const cudaError_t status = cudaStreamSynchronize(stream_);
    EXPECT_EQ(status, cudaSuccess) << cudaGetErrorString(status);
    cuda_on_host::forget_failure();
  }

 private:
  cudaStream_t stream_ = nullptr;
};

struct Case {
  std::int64_t M, experts, in, out;
  Table segments;  // {expert, first, rows} ...
};

const kernels::cuda::Segment* table(const Case& c) {
  return reinterpret_cast<const kernels::cuda::Segment*>(c.segments.data());
}
std::int64_t count(const Case& c) {
  return static_cast<std::int64_t>(c.segments.size()) / 3;
}

void run_rows(GroupedForm form, const Case& c, Direction direction, const Matrix& result, const Matrix& rows,
              const Matrix& weight) {
  const Stream stream;
  const bool forward = direction == Direction::forward;
  const kernels::cuda::RowsProduct product{
      result.raw(),           rows.raw(), weight.raw(), c.M, c.experts, forward ? c.in : c.out,
      forward ? c.out : c.in, direction};
  std::vector<std::int32_t> begin(static_cast<std::size_t>(count(c)) + 1, -1);
  const kernels::cuda::RowTiles tiles{table(c), begin.data(), static_cast<std::int32_t>(count(c))};
  const auto run = [&](int tile_rows, auto* kernel) {
    kernels::cuda::plan_row_tiles(stream, tiles, tile_rows);
    kernel(stream, product, tiles, kProcessors);
  };
  switch (form) {
    case GroupedForm::warpgroup:
      run(kernels::cuda::kWarpgroupTileRows, kernels::cuda::rows_warpgroup);
      break;
    case GroupedForm::warp:
      run(kernels::cuda::kWarpTileRows, kernels::cuda::rows_warp);
      break;
    case GroupedForm::plain:
      run(kernels::cuda::kPlainTileRows, kernels::cuda::rows_plain);
      break;
  }
  stream.wait();
}

void run_gradient(GroupedForm form, const Case& c, const OwnedGradient& dweight, const Matrix& dy,
                  const Matrix& x, int processors = kProcessors) {
  const Stream stream;
  const kernels::GradientSum sum = dweight.view();
  const kernels::cuda::GradientProduct product{
      {sum.sums.data<std::int64_t>(), sum.overflow.data<std::int64_t>(), sum.limit},
      dy.raw(),
      x.raw(),
      c.M,
      c.experts,
      c.out,
      c.in};
  const auto experts = static_cast<std::size_t>(c.experts);
  std::vector<std::int32_t> begin(experts + 1, -1), next(experts, -1);
  std::vector<kernels::cuda::GradientBlock> blocks(static_cast<std::size_t>(c.M / 256 + count(c)));
  const kernels::cuda::GradientBlocks plan{begin.data(), blocks.data()};
  kernels::cuda::plan_gradient_blocks(stream, plan, next.data(), table(c),
                                      static_cast<std::int32_t>(count(c)),
                                      static_cast<std::int32_t>(c.experts));
  const auto run = form == GroupedForm::warpgroup ? kernels::cuda::gradient_warpgroup
                   : form == GroupedForm::warp    ? kernels::cuda::gradient_warp
                                                  : kernels::cuda::gradient_plain;
  run(stream, product, plan, processors);
  stream.wait();
}

std::vector<double> rounded(GroupedForm form, const std::vector<double>& values) {
  return Matrix(form, values).values();
}

struct Inputs {
  Inputs(GroupedForm form, const Case& c)
      : x(rounded(form, random_values(c.M * c.in, "x"))),
        weight(rounded(form, random_values(c.experts * c.out * c.in, "weight"))),
        dy(rounded(form, random_values(c.M * c.out, "dy"))) {}
  std::vector<double> x, weight, dy;
};

// Out of order, an expert twice, an expert without a segment, a segment without rows, rows in no segment,
// more than one block of rows, tiles that are full and not.
const Table kUneven = {2, 0, 7, 0, 40, 300, 3, 12, 1, 2, 340, 20, 0, 8, 0};

class GroupedForms : public testing::TestWithParam<GroupedForm> {
 protected:
  void compare(const Case& c) {
    SCOPED_TRACE("in=" + std::to_string(c.in) + " out=" + std::to_string(c.out));
    const GroupedForm form = GetParam();
    const Inputs in(form, c);
    const auto S = count(c);
    const double step = form == GroupedForm::plain ? 0 : kBf16Step;
    // Rows outside all segments keep what they had.
    std::vector<double> y(in.dy.size(), 7.0), dx(in.x.size(), 7.0), dweight(in.weight.size());
    const Matrix ty(form, y), tdx(form, dx), x(form, in.x), dy(form, in.dy), weight(form, in.weight);
    kernels::reference::grouped_linear_forward(y.data(), in.x.data(), in.weight.data(), c.segments.data(), S,
                                               c.out, c.in);
    for (std::size_t s = 0; s < c.segments.size(); s += 3) {
      const auto begin = dx.begin() + c.segments[s + 1] * c.in;
      std::fill(begin, begin + c.segments[s + 2] * c.in, 0.0);
    }
    kernels::reference::grouped_linear_backward_data(dx.data(), in.dy.data(), in.weight.data(),
                                                     c.segments.data(), S, c.out, c.in);
    kernels::reference::grouped_linear_backward_weight(dweight.data(), in.dy.data(), in.x.data(),
                                                       c.segments.data(), S, c.out, c.in);
    run_rows(form, c, Direction::forward, ty, x, weight);
    expect_close(ty.values(), y, f32_tolerance(c.in) + step, "y");
    run_rows(form, c, Direction::backward_data, tdx, dy, weight);
    expect_close(tdx.values(), dx, f32_tolerance(c.out) + step, "dx");
    const OwnedGradient gradient({c.experts, c.out, c.in});
    for (int repeat = 0; repeat < 2; ++repeat) run_gradient(form, c, gradient, dy, x);
    for (double& value : dweight) value *= 2;
    expect_close(gradient.values(), dweight, f32_tolerance(256), "dweight");
    EXPECT_EQ(gradient.overflow(), 0);
  }
};

TEST_P(GroupedForms, AgreeWithTheReferenceAndLeaveOtherRowsAlone) {
  compare({370, 5, 72, 136, kUneven});
  compare({370, 5, 136, 40, kUneven});  // more than one tile of the columns in each direction
  compare({9, 1, 584, 8, {0, 0, 9}});  // more stages than the ring holds
}

class GroupedFormsOfAnySize : public GroupedForms {};

TEST_P(GroupedFormsOfAnySize, ServeOddSizes) {
  compare({37, 2, 51, 37, {1, 0, 30, 0, 30, 7}});
  compare({5, 1, 1, 1, {0, 0, 5}});
  compare({5, 1, 131, 3, {0, 0, 5}});
}

TEST_P(GroupedForms, TilesOfBothWidths) {
  const GroupedForm form = GetParam();
  const Case c{3, 1, 64, 512, {0, 0, 3}};
  ASSERT_EQ(kernels::cuda::warpgroup_tile_columns(512), 256);
  ASSERT_EQ(kernels::cuda::warpgroup_tile_columns(64), 128);
  const Inputs in(form, c);
  std::vector<double> y(in.dy.size());
  const Matrix ty(form, y);
  kernels::reference::grouped_linear_forward(y.data(), in.x.data(), in.weight.data(), c.segments.data(), 1,
                                             c.out, c.in);
  run_rows(form, c, Direction::forward, ty, Matrix(form, in.x), Matrix(form, in.weight));
  expect_close(ty.values(), y, f32_tolerance(c.in) + kBf16Step, "y");
}

TEST_P(GroupedForms, RowsHaveTheSameBitsWhereverTheyLie) {
  const GroupedForm form = GetParam();
  constexpr std::int64_t kIn = 200, kOut = 24, kSome = 11, kRows = 150;
  const Case alone{kSome, 2, kIn, kOut, {1, 0, kSome}};
  const Case among{kRows, 2, kIn, kOut, {0, 0, 100, 1, 100, 3, 1, 103, kSome, 0, 114, 36}};
  const Inputs in(form, among);
  const std::vector<double> some(in.x.begin() + 103 * kIn, in.x.begin() + (103 + kSome) * kIn);
  const Matrix weight(form, in.weight), short_y(form, std::vector<double>(kSome * kOut)),
      long_y(form, std::vector<double>(kRows * kOut));
  run_rows(form, alone, Direction::forward, short_y, Matrix(form, some), weight);
  run_rows(form, among, Direction::forward, long_y, Matrix(form, in.x), weight);
  const std::vector<double> whole = long_y.values();
  EXPECT_EQ(short_y.values(),
            std::vector<double>(whole.begin() + 103 * kOut, whole.begin() + (103 + kSome) * kOut));
}

TEST_P(GroupedForms, NeighboursThatAreNotFiniteDoNotMatter) {
  const GroupedForm form = GetParam();
  // Expert 0's only block ends within a stage; what follows belongs to expert 1, and is not finite.
  const Case c{80, 2, 16, 8, {0, 0, 21, 1, 21, 59}};
  Inputs in(form, c);
  const OwnedGradient clean({2, 8, 16}), spoiled({2, 8, 16});
  run_gradient(form, c, clean, Matrix(form, in.dy), Matrix(form, in.x));
  std::fill(in.dy.begin() + 21 * 8, in.dy.end(), std::numeric_limits<double>::quiet_NaN());
  std::fill(in.x.begin() + 21 * 16, in.x.end(), std::numeric_limits<double>::infinity());
  run_gradient(form, c, spoiled, Matrix(form, in.dy), Matrix(form, in.x));
  EXPECT_TRUE(same_bits(clean.sums.view().at(0), spoiled.sums.view().at(0)));
  EXPECT_EQ(clean.overflow(), 0);
  EXPECT_EQ(spoiled.overflow(), 8 * 16);
}

TEST_P(GroupedForms, SumsDoNotDependOnHowBlocksAreDealt) {
  const GroupedForm form = GetParam();
  const Case c{1030, 1, 8, 16, {0, 0, 700, 0, 700, 330}};
  const Inputs in(form, c);
  const OwnedGradient one({1, 16, 8}), many({1, 16, 8});
  run_gradient(form, c, one, Matrix(form, in.dy), Matrix(form, in.x), 1);
  cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, 5);
  run_gradient(form, c, many, Matrix(form, in.dy), Matrix(form, in.x), 7);
  cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, 0);
  EXPECT_TRUE(same_bits(one.sums, many.sums));
}

std::string form_name(const testing::TestParamInfo<GroupedForm>& form) {
  switch (form.param) {
    case GroupedForm::warpgroup:
      return "warpgroup";
    case GroupedForm::warp:
      return "warp";
    case GroupedForm::plain:
      return "plain";
  }
  return "";
}
INSTANTIATE_TEST_SUITE_P(All, GroupedForms,
                         testing::Values(GroupedForm::warpgroup, GroupedForm::warp, GroupedForm::plain),
                         form_name);

INSTANTIATE_TEST_SUITE_P(All, GroupedFormsOfAnySize, testing::Values(GroupedForm::warp, GroupedForm::plain),
                         form_name);

TEST(GroupedPlan, CountsTilesAndBlocks) {
  // Many segments: each thread of the planning kernel owns several.
  Case c{0, 3, 8, 8, {}};
  std::vector<std::int32_t> tiles_before;
  std::int32_t tiles = 0, blocks[3] = {};
  for (std::int32_t s = 0; s < 700; ++s) {
    const std::int32_t rows = s * 37 % 530;
    c.segments.insert(c.segments.end(), {s % 3, static_cast<std::int32_t>(c.M), rows});
    tiles_before.push_back(tiles);
    tiles += (rows + 127) / 128;
    blocks[s % 3] += (rows + 255) / 256;
    c.M += rows;
  }
  tiles_before.push_back(tiles);
  const Stream stream;
  std::vector<std::int32_t> begin(701, -1), expert_begin(4, -1), next(3);
  kernels::cuda::plan_row_tiles(stream, {table(c), begin.data(), 700}, 128);
  std::vector<kernels::cuda::GradientBlock> list(static_cast<std::size_t>(c.M / 256 + 700));
  kernels::cuda::plan_gradient_blocks(stream, {expert_begin.data(), list.data()}, next.data(), table(c), 700,
                                      3);
  stream.wait();
  EXPECT_EQ(begin, tiles_before);
  EXPECT_EQ(expert_begin, (std::vector<std::int32_t>{0, blocks[0], blocks[0] + blocks[1],
                                                     blocks[0] + blocks[1] + blocks[2]}));
  std::vector<int> covered(static_cast<std::size_t>(c.M));
  for (std::int32_t b = 0; b < expert_begin[3]; ++b) {
    const kernels::cuda::GradientBlock block = list[static_cast<std::size_t>(b)];
    EXPECT_TRUE(block.rows >= 1 && block.rows <= 256);
    for (std::int32_t row = block.first; row < block.first + block.rows; ++row)
      ++covered[static_cast<std::size_t>(row)];
  }
  EXPECT_EQ(std::count(covered.begin(), covered.end(), 1), c.M);
}

TEST(GroupedFormsChoice, DependsOnChipDtypeAndSizesOfTheWeight) {
  using kernels::cuda::grouped_form;
  EXPECT_EQ(grouped_form(90, DType::bf16, 768, 2048), GroupedForm::warpgroup);
  EXPECT_EQ(grouped_form(90, DType::bf16, 770, 2048), GroupedForm::warp);
  EXPECT_EQ(grouped_form(90, DType::bf16, 768, 4), GroupedForm::warp);
  EXPECT_EQ(grouped_form(90, DType::bf16, 0, 8), GroupedForm::warp);
  EXPECT_EQ(grouped_form(80, DType::bf16, 768, 2048), GroupedForm::warp);
  EXPECT_EQ(grouped_form(100, DType::bf16, 768, 2048), GroupedForm::warp);  // no wgmma there
  EXPECT_EQ(grouped_form(70, DType::f32, 768, 2048), GroupedForm::plain);
  EXPECT_THROW(grouped_form(75, DType::bf16, 768, 2048), DeviceError);
}

TEST(GroupedFormsChoice, TilesAndSplits) {
  using kernels::cuda::gradient_splits;
  EXPECT_EQ(kernels::cuda::warpgroup_tile_columns(1536), 256);
  EXPECT_EQ(kernels::cuda::warpgroup_tile_columns(384), 128);
  EXPECT_EQ(gradient_splits(24576, 132, 262144), 1);
  EXPECT_EQ(gradient_splits(36, 132, 65536), 8);
  EXPECT_EQ(gradient_splits(36, 132, 700), 2);
  EXPECT_EQ(gradient_splits(0, 132, 0), 1);
}

}  // namespace
}  // namespace switchyard::test
