// What every op test uses: inputs, comparison with a tolerance derived from the format and the reduction
// length, gradients of the specification by complex step, and the levels of the CPU back end to run on.
#pragma once

#include <gtest/gtest.h>

#include <complex>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/context.h"

namespace switchyard::test {

using Complex = std::complex<double>;

/// Normal values, equal on every machine for the same (seed, name).
std::vector<double> random_values(std::int64_t count, const std::string& name, double scale = 1.0);

/// Rounded to fp32 and back: what a CPU op really receives.
std::vector<double> as_f32(const std::vector<double>& values);

kernels::Tensor f32_tensor(Shape shape, const std::vector<double>& values);
kernels::Tensor i32_tensor(Shape shape, const std::vector<std::int32_t>& values);
std::vector<double> values_of(ConstTensorView tensor);  ///< f32, bf16, f64, i32 or i64
/// f32 rounded to bf16 by BFloat16, not by a kernel; and bf16 as f32.
kernels::Tensor as_bf16(ConstTensorView tensor);
kernels::Tensor as_f32(ConstTensorView tensor);
/// Bit for bit.
bool same_bits(ConstTensorView a, ConstTensorView b);

/// An exact gradient sum with its memory, for tests.
struct OwnedGradient {
  explicit OwnedGradient(Shape shape, std::int64_t additions = 1024);
  kernels::GradientSum view() const;
  std::vector<double> values() const;
  std::int64_t overflow() const;

  kernels::Tensor sums;
  kernels::Tensor overflow_count;
  std::int64_t limit;
};

/// Largest error an fp32 op may show against the specification, relative to the largest magnitude of the
/// expected tensor: a few units of 2^-24 for each rounding of a sum of `reduction` terms, which grow like its
/// square root (with a constant for the worst of many elements).
double f32_tolerance(std::int64_t reduction);

/// The same for an op that rounds what it stores to bf16: half a unit of its last place more.
double bf16_tolerance(std::int64_t reduction);

/// Fails unless max |actual - expected| <= tolerance * max(max |expected|, terms). Prints the worst element.
/// `terms` is the size of the terms that were added, for results that cancel.
void expect_close(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance,
                  const std::string& what, double terms = 0);

/// d (sum of cotangent * f(inputs)) / d inputs[i] for all elements of all inputs, by complex step (exact to
/// rounding: no difference of nearby values is taken). f maps complex inputs to the flat outputs.
using ComplexFunction = std::function<std::vector<Complex>(const std::vector<std::vector<Complex>>&)>;
std::vector<std::vector<double>> complex_step_gradients(const ComplexFunction& f,
                                                        const std::vector<std::vector<double>>& inputs,
                                                        const std::vector<double>& cotangent);

std::vector<Complex> as_complex(const std::vector<double>& values);

/// Tests that run once for each (instruction-set level, number of threads).
struct CpuLevel {
  kernels::Isa isa;
  int threads;
  Device device = Device::cpu;
};
class CpuOpTest : public testing::TestWithParam<CpuLevel> {
 protected:
  CpuOpTest() : context(GetParam().threads, GetParam().isa, GetParam().device) {}
  kernels::Context context;
};
/// Named in the list of tests; the default would print padding, which differs between two listings.
inline void PrintTo(const CpuLevel& level,
                    std::ostream* out) {  // NOLINT(readability-identifier-naming): GoogleTest's
  *out << kernels::isa_name(level.isa) << ", " << level.threads << " thread(s)";
}
std::vector<CpuLevel> all_cpu_levels();
/// Those, and the levels that differ in bf16 products and attention only. AMX is among them wherever the code
/// around its tiles can run: without the processor's tiles, on an emulation.
std::vector<CpuLevel> all_bf16_levels();
std::string cpu_level_name(const testing::TestParamInfo<CpuLevel>& info);

}  // namespace switchyard::test

/// Instantiates a CpuOpTest suite for all levels of this machine, with 1 and 2 threads.
#define SWITCHYARD_ON_ALL_CPU_LEVELS(suite)                                                     \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::ValuesIn(::switchyard::test::all_cpu_levels()), \
                           ::switchyard::test::cpu_level_name)
#define SWITCHYARD_ON_ALL_BF16_LEVELS(suite)                                                     \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::ValuesIn(::switchyard::test::all_bf16_levels()), \
                           ::switchyard::test::cpu_level_name)
