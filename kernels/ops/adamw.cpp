#include "kernels/ops/adamw.h"

#include <cmath>
#include <limits>

namespace switchyard::kernels {

namespace {

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;

// Greatest value, kept once it is reached: "more than the sum can hold".
constexpr Wide kSaturated = static_cast<Wide>(~UnsignedWide{0} >> 1);

Wide joined(const WideSum& sum) {
  return static_cast<Wide>((static_cast<UnsignedWide>(static_cast<std::uint64_t>(sum.high)) << 64) | sum.low);
}

WideSum split(Wide value) {
  return {static_cast<std::uint64_t>(value), static_cast<std::int64_t>(value >> 64)};
}

Wide saturating_add(Wide a, Wide b) {
  Wide total = 0;
  if (a == kSaturated || b == kSaturated || __builtin_add_overflow(a, b, &total)) return kSaturated;
  return total;
}

}  // namespace

void WideSum::add(const WideSum& other) {
  *this = split(saturating_add(joined(*this), joined(other)));
}

bool WideSum::add(double value) {
  if (!(std::abs(value) < 0x1p46)) return false;
  // The product is exact; a double beyond 2^53 is whole already, so the conversion is exact too.
  const double units = std::nearbyint(std::ldexp(value, kNormGridExponent));
  *this = split(saturating_add(joined(*this), static_cast<Wide>(units)));
  return true;
}

double WideSum::value() const {
  const Wide units = joined(*this);
  if (units == kSaturated) return std::numeric_limits<double>::infinity();
  return std::ldexp(static_cast<double>(units), -kNormGridExponent);
}

bool sum_of_squares(Context& context, WideSum& total, ConstTensorView sums, double scale) {
  check_tensor("sum_of_squares: sums", sums, DType::i64, sums.shape());
  const auto elements = static_cast<double>(sums.elements());
  const TraceScope trace(context.trace(), "sum_of_squares", 2 * elements, 8 * elements);
  bool fits = false;
  with_backend(context,
               [&](auto backend) { fits = Adamw<backend()>::sum_of_squares(context, total, sums, scale); });
  return fits;
}

void adamw_step(Context& context, TensorView master, TensorView m, TensorView v, TensorView weight,
                ConstTensorView sums, const AdamwScalars& scalars) {
  const std::int64_t n = master.dim(0);
  check_tensor("adamw_step: master", master, DType::f32, {n});
  check_tensor("adamw_step: m", m, DType::f32, {n});
  check_tensor("adamw_step: v", v, DType::f32, {n});
  check_tensor("adamw_step: sums", sums, DType::i64, {n});
  double weight_bytes = 0;
  if (weight.present())
    weight_bytes =
        weight.raw() == master.raw() ? 0 : element_bytes(check_activation("adamw_step: weight", weight, {n}));
  const auto elements = static_cast<double>(n);
  const TraceScope trace(context.trace(), "adamw_step", 14 * elements, (32 + weight_bytes) * elements);
  with_backend(context,
               [&](auto backend) { Adamw<backend()>::step(context, master, m, v, weight, sums, scalars); });
}

}  // namespace switchyard::kernels
