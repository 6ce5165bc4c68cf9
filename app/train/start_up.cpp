#include "app/train/start_up.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <span>

#include "app/build_info.h"
#include "app/config/table/write.h"
#include "app/terminal/format.h"
#include "data/storage/digest.h"
#include "data/storage/file.h"
#include "kernels/runtime/device.h"
#include "kernels/runtime/device_address.h"
#include "kernels/runtime/peak.h"
#include "moe/model/cost.h"

namespace switchyard::app {

double measured_peak(Session& session) {
  auto own = static_cast<std::int64_t>(
      kernels::measured_peak_flops(session.context(), session.config().model.activation));
  session.world().all_reduce_sum(std::span(&own, 1));
  return static_cast<double>(own);
}

void write_resolved_config(const Session& session, const RunFolder& folder) {
  const BuildInfo& build = build_info();
  const std::string header[] = {fmt::format("switchyard {} ({}), {}, MPI {}, HDF5 {}", build.version,
                                            build.commit, build.compiler, build.mpi, build.hdf5),
                                fmt::format("data {} {}: {} tokens", session.config().data.train,
                                            session.data_digest(), session.train_data().num_tokens())};
  data::write_file_atomically(folder.config(), config_yaml(session.config(), header));
}

std::string config_digest(const Config& config) {
  const std::string text = config_yaml(config);
  return data::digest_of(text.data(), text.size()).text();
}

namespace {
void log_devices() {
  const kernels::FoundDevices found = kernels::found_devices();
  for (std::size_t index = 0; index < found.devices.size(); ++index) {
    const kernels::DeviceInfo& device = found.devices[index];
    spdlog::info("device {}: {}, compute {}.{}, {} of {} free; driver for CUDA {}, program for CUDA {}, {}",
                 index, device.name, device.major, device.minor,
                 format_bytes(static_cast<std::int64_t>(device.free_bytes)),
                 format_bytes(static_cast<std::int64_t>(device.memory_bytes)), device.driver, device.runtime,
                 found.devices.size() == 1
                     ? "alone on its host"
                     : fmt::format("reads {} of {} others directly",
                                   kernels::device_peers(static_cast<int>(index)), found.devices.size() - 1));
  }
}

void log_route(const parallel::ChosenRoute& route) {
  if (route.route == parallel::DeviceRoute::none) return;
  const bool nccl = route.route == parallel::DeviceRoute::nccl;
  spdlog::info("{}{}", route.announcement,
               nccl ? fmt::format(", NCCL {}", parallel::nccl_version()) : std::string());
}
}  // namespace

void log_start(Session& session, const RunFolder& folder, const RunState& state, double peak_flops) {
  const Config& config = session.config();
  const moe::ModelCost cost = moe::model_cost(config.model, config.data.sequence_length);
  spdlog::info("model: {} parameters, {} active per token; {} experts, top-{}",
               format_count(static_cast<double>(cost.parameters)),
               format_count(static_cast<double>(cost.active_parameters)), config.model.moe.experts,
               config.model.moe.top_k);
  spdlog::info("data: {} tokens, {} steps of {}",
               format_count(static_cast<double>(session.train_data().num_tokens())), config.train.steps,
               format_count(static_cast<double>(session.shape().tokens())));
  spdlog::info("ranks: {} ({} expert-parallel), {} thread(s) each, {}, peak {}FLOP/s", session.world().size(),
               config.parallel.expert, session.context().threads().count(),
               kernels::isa_name(session.context().isa()), format_count(peak_flops));
  if (session.context().device() == Device::cuda) log_devices();
  log_route(session.route());
  if (state.step > 0)
    spdlog::info("resuming after step {} from {}", state.step, folder.checkpoints().string());
  else
    spdlog::info("starting in {}", folder.root.string());
}

void log_costs(const kernels::Trace& trace) {
  std::vector<kernels::OpCost> costs = trace.costs();
  std::sort(costs.begin(), costs.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  double total = 0;
  for (const auto& cost : costs) total += cost.seconds;
  if (total <= 0) return;
  constexpr std::size_t kShown = 24;
  spdlog::debug("time of rank 0 in ops: {}", format_duration(total));
  for (std::size_t i = 0; i < std::min(kShown, costs.size()); ++i)
    spdlog::debug("  {:<32} {:>5.1f}%  {:>9}  {:>8}FLOP/s", costs[i].name, 100 * costs[i].seconds / total,
                  format_duration(costs[i].seconds), format_count(costs[i].flops / costs[i].seconds));
}

std::vector<std::vector<std::int64_t>> loads_of(const moe::StepSummary& summary) {
  std::vector<std::vector<std::int64_t>> loads;
  for (const moe::LayerSummary& layer : summary.layers) loads.push_back(layer.load);
  return loads;
}

}  // namespace switchyard::app
