#include "tests/support/op_test.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/runtime/random.h"

namespace switchyard::test {

std::vector<double> random_values(std::int64_t count, const std::string& name, double scale) {
  kernels::Tensor tensor(DType::f32, {count});
  kernels::fill_normal(tensor, kernels::RandomStream(7, name), 0, scale);
  return values_of(tensor);
}

std::vector<double> as_f32(const std::vector<double>& values) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const double value : values) out.push_back(static_cast<double>(static_cast<float>(value)));
  return out;
}

kernels::Tensor f32_tensor(Shape shape, const std::vector<double>& values) {
  kernels::Tensor tensor(DType::f32, shape);
  EXPECT_EQ(shape.elements(), static_cast<std::int64_t>(values.size()));
  std::transform(values.begin(), values.end(), tensor.data<float>(),
                 [](double v) { return static_cast<float>(v); });
  return tensor;
}

kernels::Tensor i32_tensor(Shape shape, const std::vector<std::int32_t>& values) {
  kernels::Tensor tensor(DType::i32, shape);
  EXPECT_EQ(shape.elements(), static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), tensor.data<std::int32_t>());
  return tensor;
}

namespace {
template <typename T>
std::vector<double> copied(ConstTensorView tensor) {
  const T* data = tensor.data<T>();
  return {data, data + tensor.elements()};
}
}  // namespace

kernels::Tensor as_bf16(ConstTensorView tensor) {
  kernels::Tensor narrow(DType::bf16, tensor.shape());
  for (std::int64_t i = 0; i < tensor.elements(); ++i)
    narrow.data<BFloat16>()[i] = BFloat16(tensor.data<float>()[i]);
  return narrow;
}

kernels::Tensor as_f32(ConstTensorView tensor) {
  kernels::Tensor wide(DType::f32, tensor.shape());
  for (std::int64_t i = 0; i < tensor.elements(); ++i)
    wide.data<float>()[i] = static_cast<float>(tensor.data<BFloat16>()[i]);
  return wide;
}

std::vector<double> values_of(ConstTensorView tensor) {
  switch (tensor.dtype()) {
    case DType::f32:
      return copied<float>(tensor);
    case DType::bf16:
      return copied<float>(as_f32(tensor));
    case DType::f64:
      return copied<double>(tensor);
    case DType::i32:
      return copied<std::int32_t>(tensor);
    case DType::i64:
      return copied<std::int64_t>(tensor);
    default:
      throw InternalError("internal: values_of: dtype");
  }
}

bool same_bits(ConstTensorView a, ConstTensorView b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

OwnedGradient::OwnedGradient(Shape shape, std::int64_t additions)
    : sums(DType::i64, shape), overflow_count(DType::i64, {1}), limit(kernels::gradient_limit(additions)) {}

kernels::GradientSum OwnedGradient::view() const {
  return {sums, overflow_count, limit};
}

std::vector<double> OwnedGradient::values() const {
  std::vector<double> out = values_of(sums);
  for (double& value : out) value *= kernels::kGridUnit;
  return out;
}

std::int64_t OwnedGradient::overflow() const {
  return *overflow_count.data<std::int64_t>();
}

double f32_tolerance(std::int64_t reduction) {
  return 0x1p-24 * (8.0 + 8.0 * std::sqrt(static_cast<double>(std::max<std::int64_t>(reduction, 1))));
}

double bf16_tolerance(std::int64_t reduction) {
  return f32_tolerance(reduction) + 0x1p-8;
}

void expect_close(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance,
                  const std::string& what, double terms) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double magnitude = std::max(terms, 1e-30);
  for (const double value : expected) magnitude = std::max(magnitude, std::abs(value));
  std::size_t worst = 0;
  double worst_error = -1;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    double error = std::abs(actual[i] - expected[i]);
    if (!std::isfinite(error)) error = HUGE_VAL;
    if (error > worst_error) {
      worst_error = error;
      worst = i;
    }
  }
  if (actual.empty()) return;
  EXPECT_LE(worst_error, tolerance * magnitude)
      << what << ": element " << worst << " is " << actual[worst] << ", expected " << expected[worst]
      << "; relative to the largest magnitude " << magnitude << " that is " << worst_error / magnitude
      << " > " << tolerance;
}

std::vector<Complex> as_complex(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

std::vector<std::vector<double>> complex_step_gradients(const ComplexFunction& f,
                                                        const std::vector<std::vector<double>>& inputs,
                                                        const std::vector<double>& cotangent) {
  constexpr double kStep = 1e-100;
  std::vector<std::vector<Complex>> arguments;
  arguments.reserve(inputs.size());
  for (const auto& input : inputs) arguments.push_back(as_complex(input));
  std::vector<std::vector<double>> gradients;
  for (auto& argument : arguments) {
    std::vector<double> gradient;
    for (Complex& element : argument) {
      const Complex kept = element;
      element += Complex(0, kStep);
      const std::vector<Complex> outputs = f(arguments);
      element = kept;
      EXPECT_EQ(outputs.size(), cotangent.size());
      double sum = 0;
      for (std::size_t o = 0; o < outputs.size() && o < cotangent.size(); ++o)
        sum += cotangent[o] * outputs[o].imag();
      gradient.push_back(sum / kStep);
    }
    gradients.push_back(std::move(gradient));
  }
  return gradients;
}

}  // namespace switchyard::test
