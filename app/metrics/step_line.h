// The line a person reads while training runs.
#pragma once

#include <string>

#include "app/metrics/step_record.h"

namespace switchyard::app {

/// "step 120/300  loss 2.3123  grad 0.83  lr 9.8e-04  12.3k tok/s  45.2G FLOP/s (38%)  load 1.32  eta 1m
/// 20s". `eta_seconds` < 0 leaves the ETA out.
std::string step_line(const StepRecord& record, double eta_seconds);

}  // namespace switchyard::app
