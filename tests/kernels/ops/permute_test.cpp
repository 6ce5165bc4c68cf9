#include "kernels/ops/permute.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/permute.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

// K different experts per token, skewed to the low ones; every 5th slot dropped if asked.
std::vector<std::int32_t> make_choice(std::int64_t N, std::int64_t K, std::int64_t E, bool with_drops) {
  std::vector<std::int32_t> expert;
  for (std::int64_t n = 0; n < N; ++n) {
    const auto noise = random_values(E, "choice" + std::to_string(n));
    std::vector<std::int32_t> order(static_cast<std::size_t>(E));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return noise[static_cast<std::size_t>(a)] - 0.3 * a > noise[static_cast<std::size_t>(b)] - 0.3 * b;
    });
    for (std::int64_t k = 0; k < K; ++k)
      expert.push_back(with_drops && (n * K + k) % 5 == 3 ? -1 : order[static_cast<std::size_t>(k)]);
  }
  return expert;
}

struct Sorted {
  Sorted(kernels::Context& context, std::int64_t N, std::int64_t K, std::int64_t E,
         const std::vector<std::int32_t>& expert)
      : count(DType::i32, {E}), row_of_slot(DType::i32, {N, K}), slot_of_row(DType::i32, {N * K}) {
    kernels::sort_slots(context, count, row_of_slot, slot_of_row, i32_tensor({N, K}, expert));
    R = std::accumulate(count.data<std::int32_t>(), count.data<std::int32_t>() + E, std::int64_t{0});
  }
  kernels::Tensor count, row_of_slot, slot_of_row;
  std::int64_t R = 0;
};

std::vector<std::int32_t> integers(ConstTensorView tensor) {
  const auto* data = tensor.data<std::int32_t>();
  return {data, data + tensor.elements()};
}

TEST(PermuteReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t N = 5, K = 2, E = 4, C = 3;
  const auto expert = make_choice(N, K, E, true);
  std::vector<std::int32_t> count(E), row_of_slot(N * K), slot_of_row(N * K);
  kernels::reference::sort_slots(count.data(), row_of_slot.data(), slot_of_row.data(), expert.data(), N, K,
                                 E);
  const std::int64_t R = std::accumulate(count.begin(), count.end(), std::int64_t{0});
  ASSERT_LT(R, N * K);
  const auto x = random_values(N * C, "x"), rows = random_values(R * C, "rows");
  const auto weight = random_values(N * K, "weight"), base = random_values(N * C, "base");
  const auto drows_in = random_values(R * C, "drows"), dy = random_values(N * C, "dy");

  std::vector<double> dx(N * C), drows(static_cast<std::size_t>(R * C)), dweight(N * K);
  kernels::reference::gather_rows_backward(dx.data(), drows_in.data(), row_of_slot.data(), N, K, C);
  const auto gather = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> out(static_cast<std::size_t>(R * C));
        kernels::reference::gather_rows_forward(out.data(), inputs[0].data(), slot_of_row.data(), R, K, C);
        return out;
      },
      {x}, drows_in);
  expect_close(dx, gather[0], 1e-10, "dx");

  kernels::reference::combine_rows_backward(drows.data(), dweight.data(), dy.data(), rows.data(),
                                            weight.data(), row_of_slot.data(), N, K, C);
  const auto combine = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> out(N * C);
        kernels::reference::combine_rows_forward(out.data(), inputs[0].data(), inputs[1].data(),
                                                 row_of_slot.data(), inputs[2].data(), N, K, C);
        return out;
      },
      {rows, weight, base}, dy);
  expect_close(drows, combine[0], 1e-10, "drows");
  expect_close(dweight, combine[1], 1e-10, "dweight");
  expect_close(dy, combine[2], 1e-10, "dbase");
}

class PermuteTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t K, std::int64_t E, std::int64_t C, bool with_drops) {
    SCOPED_TRACE("N=" + std::to_string(N) + " K=" + std::to_string(K) + " C=" + std::to_string(C));
    const Sorted sorted(context, N, K, E, make_choice(N, K, E, with_drops));
    const std::int64_t R = sorted.R;
    const auto row_of_slot = integers(sorted.row_of_slot), slot_of_row = integers(sorted.slot_of_row);
    const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
    const auto x = as_f32(random_values(N * C, "x")), rows = as_f32(random_values(R * C, "rows"));
    const auto weight = as_f32(random_values(N * K, "weight")), base = as_f32(random_values(N * C, "base"));
    std::vector<double> gathered(size(R * C)), dx(size(N * C)), y(size(N * C)), y_base(size(N * C)),
        drows(size(R * C)), dweight(size(N * K));
    kernels::reference::gather_rows_forward(gathered.data(), x.data(), slot_of_row.data(), R, K, C);
    kernels::reference::gather_rows_backward(dx.data(), rows.data(), row_of_slot.data(), N, K, C);
    kernels::reference::combine_rows_forward(y.data(), rows.data(), weight.data(), row_of_slot.data(),
                                             static_cast<const double*>(nullptr), N, K, C);
    kernels::reference::combine_rows_forward(y_base.data(), rows.data(), weight.data(), row_of_slot.data(),
                                             base.data(), N, K, C);
    kernels::reference::combine_rows_backward(drows.data(), dweight.data(), x.data(), rows.data(),
                                              weight.data(), row_of_slot.data(), N, K, C);

    const auto tx = f32_tensor({N, C}, x), trows = f32_tensor({R, C}, rows);
    const auto tweight = f32_tensor({N, K}, weight), tbase = f32_tensor({N, C}, base);
    kernels::Tensor tgathered(DType::f32, {R, C}), tdx(DType::f32, {N, C}), ty(DType::f32, {N, C}),
        tdrows(DType::f32, {R, C}), tdweight(DType::f32, {N, K});
    kernels::gather_rows_forward(context, tgathered, tx, sorted.slot_of_row, K);
    EXPECT_EQ(values_of(tgathered), gathered);
    for (int repeat = 0; repeat < 2; ++repeat) {
      kernels::gather_rows_backward(context, tdx, trows, sorted.row_of_slot);
      kernels::combine_rows_backward(context, tdrows, tdweight, tx, trows, tweight, sorted.row_of_slot);
    }
    expect_close(values_of(tdx), dx, f32_tolerance(K), "dx", 1.0);
    expect_close(values_of(tdrows), drows, f32_tolerance(1), "drows");
    expect_close(values_of(tdweight), dweight, f32_tolerance(C), "dweight", 1.0);
    kernels::combine_rows_forward(context, ty, trows, tweight, sorted.row_of_slot, {});
    expect_close(values_of(ty), y, f32_tolerance(K), "y", 1.0);
    kernels::combine_rows_forward(context, tbase, trows, tweight, sorted.row_of_slot, tbase);  // in place
    expect_close(values_of(tbase), y_base, f32_tolerance(K), "y with base", 1.0);
    kernels::combine_rows_backward(context, trows, tdweight, tx, trows, tweight,
                                   sorted.row_of_slot);  // in place
    EXPECT_TRUE(same_bits(trows, tdrows));
    expect_close(values_of(tdweight), dweight, f32_tolerance(C), "dweight in place", 1.0);
  }
};

TEST_P(PermuteTest, AgreesWithTheReference) {
  for (const std::int64_t C : {1, 3, 15, 16, 17, 31, 33, 64, 100}) compare(9, 3, 7, C, C % 2 == 1);
  compare(0, 2, 4, 16, false);
  compare(50, 1, 3, 20, false);
  compare(40, 6, 6, 20, true);
}

TEST_P(PermuteTest, SortsStablyAndOneToOne) {
  for (const bool with_drops : {false, true}) {
    constexpr std::int64_t N = 61, K = 4, E = 9;
    const auto expert = make_choice(N, K, E, with_drops);
    const Sorted sorted(context, N, K, E, expert);
    const auto row_of_slot = integers(sorted.row_of_slot), slot_of_row = integers(sorted.slot_of_row),
               count = integers(sorted.count);
    // The slots that stay, sorted by expert; equals keep their order.
    std::vector<std::int32_t> slots;
    for (std::int32_t slot = 0; slot < N * K; ++slot)
      if (expert[static_cast<std::size_t>(slot)] >= 0) slots.push_back(slot);
    std::stable_sort(slots.begin(), slots.end(), [&](std::int32_t a, std::int32_t b) {
      return expert[static_cast<std::size_t>(a)] < expert[static_cast<std::size_t>(b)];
    });
    ASSERT_EQ(sorted.R, static_cast<std::int64_t>(slots.size()));
    for (std::size_t row = 0; row < slot_of_row.size(); ++row)
      EXPECT_EQ(slot_of_row[row], row < slots.size() ? slots[row] : -1) << row;
    for (std::size_t slot = 0; slot < row_of_slot.size(); ++slot) {
      if (expert[slot] < 0) {
        EXPECT_EQ(row_of_slot[slot], -1);
      } else {
        ASSERT_GE(row_of_slot[slot], 0);
        EXPECT_EQ(slot_of_row[static_cast<std::size_t>(row_of_slot[slot])], static_cast<std::int32_t>(slot));
      }
    }
    for (std::int32_t e = 0; e < E; ++e)
      EXPECT_EQ(count[static_cast<std::size_t>(e)], std::count(expert.begin(), expert.end(), e));
  }
}

TEST_P(PermuteTest, AllRowsToOneExpertOrToNone) {
  const Sorted one(context, 40, 1, 5, std::vector<std::int32_t>(40, 3));
  EXPECT_EQ(integers(one.count), (std::vector<std::int32_t>{0, 0, 0, 40, 0}));
  for (std::int32_t slot = 0; slot < 40; ++slot) EXPECT_EQ(one.row_of_slot.data<std::int32_t>()[slot], slot);
  const Sorted none(context, 4, 2, 3, std::vector<std::int32_t>(8, -1));
  EXPECT_EQ(none.R, 0);
  const auto base = f32_tensor({4, 2}, random_values(8, "base"));
  kernels::Tensor y(DType::f32, {4, 2}), dx(DType::f32, {4, 2});
  std::fill_n(dx.data<float>(), 8, 7.0F);
  const kernels::Tensor rows(DType::f32, {0, 2}), weight(DType::f32, {4, 2});
  kernels::combine_rows_forward(context, y, rows, weight, none.row_of_slot, base);
  EXPECT_TRUE(same_bits(y, base));
  kernels::gather_rows_backward(context, dx, rows, none.row_of_slot);
  EXPECT_EQ(values_of(dx), std::vector<double>(8, 0.0));
}

// A thousand-fold cancellation: another order of the k would give another last bit.
TEST_P(PermuteTest, CombinesInTheOrderOfTheChoices) {
  const auto row_of_slot = i32_tensor({1, 3}, {2, 0, 1});
  const auto rows = f32_tensor({3, 1}, {-1e8, 1, 1e8});
  const auto ones = f32_tensor({1, 3}, {1, 1, 1});
  kernels::Tensor y(DType::f32, {1, 1}), dx(DType::f32, {1, 1});
  kernels::combine_rows_forward(context, y, rows, ones, row_of_slot, {});
  kernels::gather_rows_backward(context, dx, rows, row_of_slot);
  EXPECT_EQ(y.data<float>()[0], 1.0F);  // (1e8 - 1e8) + 1; (1e8 + 1) - 1e8 would be 0
  EXPECT_EQ(dx.data<float>()[0], 1.0F);
}

TEST_P(PermuteTest, RowsAreIndependent) {
  constexpr std::int64_t N = 33, K = 2, E = 4, C = 21;
  const Sorted sorted(context, N, K, E, make_choice(N, K, E, true));
  const auto rows = f32_tensor({sorted.R, C}, random_values(sorted.R * C, "rows"));
  const auto weight = f32_tensor({N, K}, random_values(N * K, "weight"));
  const auto dy = f32_tensor({N, C}, random_values(N * C, "dy"));
  kernels::Tensor y(DType::f32, {N, C}), drows(DType::f32, {sorted.R, C}), dweight(DType::f32, {N, K});
  kernels::combine_rows_forward(context, y, rows, weight, sorted.row_of_slot, {});
  kernels::combine_rows_backward(context, drows, dweight, dy, rows, weight, sorted.row_of_slot);
  for (std::int64_t n = 0; n < N; ++n) {
    kernels::Tensor y1(DType::f32, {1, C}), drows1(DType::f32, {sorted.R, C}), dweight1(DType::f32, {1, K});
    kernels::combine_rows_forward(context, y1, rows, weight.view().rows(n, 1),
                                  sorted.row_of_slot.view().rows(n, 1), {});
    kernels::combine_rows_backward(context, drows1, dweight1, dy.view().rows(n, 1), rows,
                                   weight.view().rows(n, 1), sorted.row_of_slot.view().rows(n, 1));
    EXPECT_TRUE(same_bits(y1, y.view().rows(n, 1))) << n;
    EXPECT_TRUE(same_bits(dweight1, dweight.view().rows(n, 1))) << n;
    for (std::int64_t k = 0; k < K; ++k) {
      const std::int64_t row = sorted.row_of_slot.data<std::int32_t>()[n * K + k];
      if (row >= 0) {
        EXPECT_TRUE(same_bits(drows1.view().rows(row, 1), drows.view().rows(row, 1))) << n;
      }
    }
  }
}

TEST_P(PermuteTest, NaNShowsUnlessItsSlotIsDropped) {
  const auto rows = f32_tensor({2, 1}, {NAN, 1});
  const auto weight = f32_tensor({3, 1}, {1, NAN, NAN});
  kernels::Tensor y(DType::f32, {3, 1});
  kernels::combine_rows_forward(context, y, rows, weight, i32_tensor({3, 1}, {0, 1, -1}), {});
  EXPECT_TRUE(std::isnan(y.data<float>()[0]));
  EXPECT_TRUE(std::isnan(y.data<float>()[1]));
  EXPECT_EQ(y.data<float>()[2], 0.0F);
}

TEST_P(PermuteTest, RefusesIndicesOutsideTheirRange) {
  const kernels::Tensor count(DType::i32, {3}), row_of_slot(DType::i32, {1, 1}), slot_of_row(DType::i32, {1});
  EXPECT_THROW(kernels::sort_slots(context, count, row_of_slot, slot_of_row, i32_tensor({1, 1}, {3})),
               InternalError);
  const kernels::Tensor x(DType::f32, {1, 2}), rows(DType::f32, {1, 2}), weight(DType::f32, {1, 1});
  EXPECT_THROW(kernels::gather_rows_forward(context, rows, x, i32_tensor({1}, {-1}), 1), InternalError);
  EXPECT_THROW(kernels::combine_rows_forward(context, x, rows, weight, i32_tensor({1, 1}, {1}), {}),
               InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(PermuteTest);

}  // namespace
}  // namespace switchyard::test
