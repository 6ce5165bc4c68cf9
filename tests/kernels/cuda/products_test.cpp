// Dense and grouped products of the CUDA back end through their ops, in both dtypes, against the
// specification.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/cuda/products/dense/rows.h"
#include "kernels/ops/grouped_linear.h"
#include "kernels/ops/linear.h"
#include "kernels/reference/grouped_linear.h"
#include "tests/support/cuda_on_host/op_dtypes.h"

namespace switchyard::test {
namespace {

using kernels::Write;

class CudaProducts : public CudaOpTest {};

TEST_P(CudaProducts, LinearAgreesWithTheReference) {
  struct Size {
    std::int64_t N, O, I;
  };
  for (const auto& [N, O, I] : {Size{7, 24, 40}, {300, 16, 8}, {3, 5, 130}, {1, 1, 1}, {0, 8, 8}}) {
    SCOPED_TRACE("N=" + std::to_string(N) + " O=" + std::to_string(O) + " I=" + std::to_string(I));
    const auto x = values(N * I, "x"), weight = values(O * I, "weight"), dy = values(N * O, "dy"),
               before = values(N * I, "before"), bias = as_f32(random_values(O, "bias"));
    const auto tx = tensor({N, I}, x), tweight = tensor({O, I}, weight), tdy = tensor({N, O}, dy);
    for (const bool with_bias : {false, true}) {
      for (const DType result : {dtype(), DType::f32}) {
        const kernels::Tensor y(result, {N, O});
        std::vector<double> expected(dy.size());
        kernels::reference::linear_forward(expected.data(), x.data(), weight.data(),
                                           with_bias ? bias.data() : nullptr, N, O, I);
        const auto tbias = f32_tensor({O}, bias);
        kernels::linear_forward(context, y, tx, tweight,
                                with_bias ? ConstTensorView(tbias) : ConstTensorView());
        expect_close(float_values(y), expected, f32_tolerance(I) + step_of(result), "y", 1.0);
      }
    }
    for (const Write write : {Write::overwrite, Write::add}) {
      std::vector<double> expected = write == Write::add ? before : std::vector<double>(before.size());
      kernels::reference::linear_backward_data(expected.data(), dy.data(), weight.data(), N, O, I);
      const auto dx = tensor({N, I}, before);
      kernels::linear_backward_data(context, dx, tdy, tweight, write);
      expect_close(float_values(dx), expected, f32_tolerance(O) + step_of(dtype()), "dx", 1.0);
    }
    std::vector<double> dweight(weight.size()), dbias(bias.size());
    kernels::reference::linear_backward_weight(dweight.data(), dy.data(), x.data(), N, O, I);
    kernels::reference::linear_backward_bias(dbias.data(), dy.data(), N, O);
    const OwnedGradient weight_gradient({O, I}), bias_gradient({O});
    kernels::linear_backward_weight(context, weight_gradient.view(), tdy, tx);
    kernels::linear_backward_bias(context, bias_gradient.view(), tdy);
    expect_close(weight_gradient.values(), dweight, f32_tolerance(256), "dweight", 1.0);
    expect_close(bias_gradient.values(), dbias, f32_tolerance(256), "dbias", 1.0);
    EXPECT_EQ(weight_gradient.overflow() + bias_gradient.overflow(), 0);
  }
}

TEST_P(CudaProducts, GroupedLinearAgreesWithTheReference) {
  constexpr std::int64_t kRows = 21, kExperts = 3, kOut = 16, kIn = 24;
  const std::vector<std::int32_t> segments = {2, 0, 7, 0, 7, 0, 1, 9, 12};
  const auto x = values(kRows * kIn, "x"), weight = values(kExperts * kOut * kIn, "weight"),
             dy = values(kRows * kOut, "dy");
  const auto tx = tensor({kRows, kIn}, x), tweight = tensor({kExperts, kOut, kIn}, weight),
             tdy = tensor({kRows, kOut}, dy), y = tensor({kRows, kOut}, std::vector<double>(dy.size())),
             dx = tensor({kRows, kIn}, std::vector<double>(x.size()));
  const auto table = i32_tensor({3, 3}, segments);
  std::vector<double> expected_y(dy.size()), expected_dx(x.size()), dweight(weight.size());
  kernels::reference::grouped_linear_forward(expected_y.data(), x.data(), weight.data(), segments.data(), 3,
                                             kOut, kIn);
  kernels::reference::grouped_linear_backward_data(expected_dx.data(), dy.data(), weight.data(),
                                                   segments.data(), 3, kOut, kIn);
  kernels::reference::grouped_linear_backward_weight(dweight.data(), dy.data(), x.data(), segments.data(), 3,
                                                     kOut, kIn);
  const OwnedGradient gradient({kExperts, kOut, kIn});
  kernels::grouped_linear_forward(context, y, tx, tweight, table);
  kernels::grouped_linear_backward_data(context, dx, tdy, tweight, table);
  kernels::grouped_linear_backward_weight(context, gradient.view(), tdy, tx, table);
  expect_close(float_values(y), expected_y, f32_tolerance(kIn) + step_of(dtype()), "y");
  expect_close(float_values(dx), expected_dx, f32_tolerance(kOut) + step_of(dtype()), "dx");
  expect_close(gradient.values(), dweight, f32_tolerance(256), "dweight");
  const kernels::Tensor none(DType::i32, {0, 3});
  kernels::grouped_linear_forward(context, y, tx, tweight, none);
  kernels::grouped_linear_backward_weight(context, gradient.view(), tdy, tx, none);
}

class CudaFp32Products : public CudaProducts {};

TEST_P(CudaFp32Products, ElementsAreOneChainOfMultiplyAddsInIndexOrder) {
  constexpr std::int64_t kRows = 5, kOut = 37, kIn = 100, kCut = 11;
  const auto x = tensor({kRows, kIn}, values(kRows * kIn, "x")),
             weight = tensor({kOut, kIn}, values(kOut * kIn, "w")),
             y = tensor({kRows, kOut}, std::vector<double>(kRows * kOut));
  kernels::linear_forward(context, y, x, weight, {});
  for (std::int64_t n = 0; n < kRows; ++n)
    for (std::int64_t o = 0; o < kOut; ++o) {
      float sum = 0;
      for (std::int64_t i = 0; i < kIn; ++i)
        sum = std::fma(x.data<float>()[n * kIn + i], weight.data<float>()[o * kIn + i], sum);
      ASSERT_EQ(y.data<float>()[n * kOut + o], sum);
    }
  // Write::add goes on where the chain ended.
  const auto whole = tensor({kRows, kIn}, std::vector<double>(kRows * kIn)),
             parts = tensor({kRows, kIn}, std::vector<double>(kRows * kIn));
  const auto head = tensor({kRows, kCut}, std::vector<double>(kRows * kCut)),
             rest = tensor({kRows, kOut - kCut}, std::vector<double>(kRows * (kOut - kCut)));
  for (std::int64_t n = 0; n < kRows; ++n) {
    std::copy_n(y.data<float>() + n * kOut, kCut, head.data<float>() + n * kCut);
    std::copy_n(y.data<float>() + n * kOut + kCut, kOut - kCut, rest.data<float>() + n * (kOut - kCut));
  }
  kernels::linear_backward_data(context, whole, y, weight, Write::overwrite);
  kernels::linear_backward_data(context, parts, head, weight.view().rows(0, kCut), Write::overwrite);
  kernels::linear_backward_data(context, parts, rest, weight.view().rows(kCut, kOut - kCut), Write::add);
  EXPECT_TRUE(same_bits(whole, parts));
}

SWITCHYARD_ON_CUDA_DTYPES(CudaProducts);
INSTANTIATE_TEST_SUITE_P(Cuda, CudaFp32Products, testing::Values(DType::f32));

TEST(DenseRows, AlgorithmsThatSplitTheDepthOrRefuseRowsAreNotChosen) {
  using kernels::cuda::Candidate;
  using kernels::cuda::choose_candidate;
  const std::vector<Candidate> candidates = {
      {true, true}, {false, false}, {true, false}, {false, true}, {false, true}};
  EXPECT_EQ(choose_candidate(candidates), 3);
  EXPECT_EQ(choose_candidate(std::span(candidates).first(3)), -1);
  EXPECT_EQ(choose_candidate({}), -1);
}

TEST(DenseRows, AlignmentIsThatOfAnyRow) {
  kernels::cuda::DenseRows product{nullptr, nullptr, nullptr, 1,           64,
                                   128,     false,   false,   DType::bf16, DType::bf16};
  EXPECT_EQ(kernels::cuda::row_alignment(product), 16);
  product.depth = 66;
  EXPECT_EQ(kernels::cuda::row_alignment(product), 4);
  product.depth = 64;
  product.columns = 3;
  EXPECT_EQ(kernels::cuda::row_alignment(product), 2);
  product.result_dtype = DType::f32;
  EXPECT_EQ(kernels::cuda::row_alignment(product), 4);
  product.weight_is_across = true;
  EXPECT_EQ(kernels::cuda::row_alignment(product), 2);
}

}  // namespace
}  // namespace switchyard::test
