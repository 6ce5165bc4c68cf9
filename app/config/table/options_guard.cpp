// Keys of the section guard.
#include "app/config/table/option.h"

namespace switchyard::app {

namespace {

template <auto member>
constexpr auto guard = &field<&Config::guard, member>;

constexpr std::int64_t kMostSteps = 1'000'000'000'000;

}  // namespace

std::span<const Option> guard_options() {
  static const Option table[] = {
      {"guard.spike_sigma", Real{guard<&GuardConfig::spike_sigma>, 0, 1e9}, "",
       "deviations above the mean that skip a step (loss, norm); 0 = off"},
      {"guard.spike_window", Integer{guard<&GuardConfig::spike_window>, 2, 4096}, "steps",
       "over which mean and deviation are taken"},
      {"guard.rollback_after", Integer{guard<&GuardConfig::rollback_after>, 0, 19}, "steps",
       "skipped in a row before rolling back; 0 = never"},
      {"guard.rollback_steps", Integer{guard<&GuardConfig::rollback_steps>, 0, kMostSteps, true}, "steps",
       "to go back before the first skipped one; their batches are left out"},
      {"guard.parity_every", Integer{guard<&GuardConfig::parity_every>, 0, kMostSteps, true}, "steps",
       "between searches for weights changed by faulty memory; 0 = never", Effect::manner},
  };
  return table;
}

}  // namespace switchyard::app
