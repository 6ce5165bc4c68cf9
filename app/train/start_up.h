// What a run says and writes once: when it starts, and where the time went when it ends.
#pragma once

#include <string>

#include "app/train/run_folder.h"
#include "app/train/session.h"
#include "kernels/runtime/trace.h"
#include "moe/model/step_totals.h"

namespace switchyard::app {

/// Measured peak floating-point rate of all ranks together, FLOP/s. Collective.
double measured_peak(Session& session);
/// config.yaml: every key, with the versions and the digest of the data as comments.
void write_resolved_config(const Session& session, const RunFolder& folder);
/// Digest of the resolved configuration's text.
std::string config_digest(const Config& config);
void log_start(Session& session, const RunFolder& folder, const RunState& state, double peak_flops);
/// Seconds and FLOP/s per op, the costliest first.
void log_costs(const kernels::Trace& trace);
/// Loads per MoE layer, as the optimizer's balancing takes them.
std::vector<std::vector<std::int64_t>> loads_of(const moe::StepSummary& summary);

}  // namespace switchyard::app
