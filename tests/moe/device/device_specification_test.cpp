// The whole model on the device against the specification (tests/support/reference_model.h): loss and
// gradients of every switch, in f32.
#include <gtest/gtest.h>

#include "kernels/runtime/host_values.h"
#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

constexpr std::int64_t kSequences = 2, kLength = 5;

// Weights and biases of a model on the CPU to one of the same kind on a device.
void copy_state(moe::Model& to, moe::Model& from) {
  kernels::Context& context = to.context();
  const auto copy_group = [&](moe::ParameterGroup& target, moe::ParameterGroup& source) {
    for (std::size_t p = 0; p < source.parameters().size(); ++p)
      kernels::copy(context, target.parameters()[p].weight, source.parameters()[p].weight);
  };
  copy_group(to.dense(), from.dense());
  copy_group(to.experts(), from.experts());
  const auto biases = to.balancing_biases(), source = from.balancing_biases();
  for (std::size_t m = 0; m < biases.size(); ++m) kernels::copy(context, biases[m], source[m]);
}

NamedValues<double> gradients_of(moe::Model& model) {
  NamedValues<double> gradients;
  for (moe::ParameterGroup* group : {&model.dense(), &model.experts()})
    for (const moe::Parameter& parameter : group->parameters()) {
      const kernels::HostValues sums(model.context(), parameter.gradient.sums);
      std::vector<double>& values = gradients[parameter.spec.name];
      for (std::int64_t i = 0; i < parameter.elements(); ++i)
        values.push_back(static_cast<double>(sums.data<std::int64_t>()[i]) * kernels::kGridUnit);
    }
  return gradients;
}

class DeviceSpecification : public testing::TestWithParam<TinyCase> {};

// The seeds of the cases keep every decision of their routers away from a tie.
TEST_P(DeviceSpecification, LossAndGradientsAreThoseOfTheFormulas) {
  const moe::ModelConfig& config = GetParam().config;
  const moe::ModelLimits limits = tiny_limits(kSequences, kLength);
  TinyModel host(config, GetParam().seed, limits);
  const ReferenceUnit unit = random_unit(config, kSequences, kLength, GetParam().seed);

  kernels::Context context(1, kernels::Isa::generic, Device::cuda);
  moe::Model model(context, config, host.mesh, limits, 1);
  copy_state(model, host.model);
  model.clear_gradients();
  const moe::UnitResult result = model.train_unit(context, UnitTensors(unit).input(), moe::Recompute::none);

  const NamedValues<double> weights = host.weights();
  const ReferenceLoss<double> expected = reference_loss(config, host.biases(), weights, unit);
  EXPECT_NEAR(result.loss, expected.cross_entropy, 1e-5);
  ASSERT_EQ(result.routing.size(), expected.routing.size());
  for (std::size_t m = 0; m < expected.routing.size(); ++m) {
    EXPECT_EQ(result.routing[m].load, expected.routing[m].load);
    EXPECT_EQ(result.routing[m].dropped, expected.routing[m].dropped);
  }
  const NamedValues<double> gradients = reference_gradients(config, host.biases(), weights, unit);
  for (const auto& [name, values] : gradients_of(model)) expect_close(values, gradients.at(name), 1e-4, name);
}

INSTANTIATE_TEST_SUITE_P(Cases, DeviceSpecification, testing::ValuesIn(tiny_cases()), tiny_case_name);

}  // namespace
}  // namespace switchyard::test
