// What a run does about numbers that are finite and yet wrong. Filled by app/config.
#pragma once

#include <cstdint>

namespace switchyard::app {

struct GuardConfig {
  double spike_sigma = 0;             ///< deviations above the mean from which a step is skipped; 0 = off
  std::int64_t spike_window = 128;    ///< applied steps that mean and deviation are taken over
  std::int64_t rollback_after = 0;    ///< skipped steps in a row before rolling back; 0 = never
  std::int64_t rollback_steps = 100;  ///< how far before the first of them
  std::int64_t parity_every = 0;      ///< steps between checks of the weights in memory; 0 = never
};

}  // namespace switchyard::app
