// Keys of the watchdog.
#include "app/config/table/option.h"

namespace switchyard::app {

namespace {

template <auto member>
constexpr auto watchdog = &field<&Config::watchdog, member>;

}  // namespace

std::span<const Option> watchdog_options() {
  constexpr auto manner = Effect::manner;
  static const Option table[] = {
      {"watchdog.enable", Boolean{watchdog<&WatchdogConfig::enable>}, "",
       "ranks watch each other; a hung or lost one ends the run", manner},
      {"watchdog.silent_after", Duration{watchdog<&WatchdogConfig::silent_after_seconds>}, "",
       "a stopped process is hung after this time; 0 = never", manner},
      {"watchdog.hang_after", Duration{watchdog<&WatchdogConfig::hang_after_seconds>}, "",
       "a rank that others wait for and that does not move is hung; 0 = never", manner},
      {"watchdog.slow_ratio", Real{watchdog<&WatchdogConfig::slow_ratio>, 1, 1000}, "",
       "a rank is named as slow beyond this times the others' median; 1 = never", manner},
      {"watchdog.slow_steps", Integer{watchdog<&WatchdogConfig::slow_steps>, 1, 1'000'000, true}, "steps",
       "compared at a time; two such windows in a row name a rank", manner},
  };
  return table;
}

}  // namespace switchyard::app
