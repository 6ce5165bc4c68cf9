// Op tests of the CUDA back end in both dtypes of activations; each kernel is done when its launch returns,
// so that the tests' own memory serves.
#pragma once

#include <cstdlib>

#include "tests/support/op_test.h"

namespace switchyard::test {

class CudaOpTest : public testing::TestWithParam<DType> {
 protected:
  CudaOpTest() : context((setenv("CUDA_LAUNCH_BLOCKING", "1", 1), 1), kernels::Isa::generic, Device::cuda) {}

  static DType dtype() { return GetParam(); }
  /// The relative step of one rounding to the dtype.
  static double step_of(DType dtype) { return dtype == DType::bf16 ? 0x1p-8 : 0; }
  static double rounded(double value) {
    const auto single = static_cast<float>(value);
    return static_cast<double>(dtype() == DType::bf16 ? static_cast<float>(BFloat16(single)) : single);
  }
  /// Normal values that the dtype holds exactly.
  static std::vector<double> values(std::int64_t count, const std::string& name) {
    std::vector<double> out = random_values(count, name);
    for (double& value : out) value = rounded(value);
    return out;
  }
  static kernels::Tensor tensor(Shape shape, const std::vector<double>& values) {
    kernels::Tensor out(dtype(), shape);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (dtype() == DType::bf16) {
        out.data<BFloat16>()[i] = BFloat16(static_cast<float>(values[i]));
      } else {
        out.data<float>()[i] = static_cast<float>(values[i]);
      }
    }
    return out;
  }
  static std::vector<double> float_values(ConstTensorView tensor) {
    std::vector<double> out;
    for (std::int64_t i = 0; i < tensor.elements(); ++i)
      out.push_back(tensor.dtype() == DType::bf16
                        ? static_cast<double>(static_cast<float>(tensor.data<BFloat16>()[i]))
                        : static_cast<double>(tensor.data<float>()[i]));
    return out;
  }

  kernels::Context context;
};

}  // namespace switchyard::test

#define SWITCHYARD_ON_CUDA_DTYPES(suite)                                                 \
  INSTANTIATE_TEST_SUITE_P(                                                              \
      Cuda, suite, testing::Values(::switchyard::DType::f32, ::switchyard::DType::bf16), \
      [](const auto& which) { return std::string(::switchyard::dtype_name(which.param)); })
