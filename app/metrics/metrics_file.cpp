#include "app/metrics/metrics_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::filesystem::path& path, const char* what) {
  throw DiskError(fmt::format("metrics: {} {}: {}; free space or set run.directory", what, path.string(),
                              std::strerror(errno)));
}

Json layer_json(const moe::LayerSummary& layer, bool per_expert) {
  Json json = {{"layer", layer.layer},
               {"entropy", layer.entropy},
               {"dropped", layer.dropped},
               {"aux_loss", layer.aux_loss},
               {"sequence_aux_loss", layer.sequence_aux_loss},
               {"z_loss", layer.z_loss}};
  if (per_expert) json["load"] = layer.load;
  return json;
}

// JSON has no NaN: null says that there was no number.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

}  // namespace

double load_ratio(const moe::StepSummary& summary) {
  double worst = 0;
  for (const moe::LayerSummary& layer : summary.layers) {
    const auto total = std::accumulate(layer.load.begin(), layer.load.end(), std::int64_t{0});
    if (total == 0) continue;
    const auto most = *std::max_element(layer.load.begin(), layer.load.end());
    worst = std::max(worst, static_cast<double>(most) * static_cast<double>(layer.load.size()) /
                                static_cast<double>(total));
  }
  return worst;
}

// The history up to `resumed_step`. Lines that are not JSON are what a crash left behind.
std::string MetricsFile::kept_history(std::int64_t resumed_step) {
  std::ifstream in(path_);
  std::string kept, line;
  while (std::getline(in, line)) {
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer()) continue;
    const auto step = entry["step"].get<std::int64_t>();
    if (step > resumed_step) continue;
    kept += line + "\n";
    if (entry.contains("validation_loss")) last_evaluated_step_ = step;
  }
  return kept;
}

MetricsFile::MetricsFile(std::filesystem::path file, std::int64_t resumed_step, bool per_expert)
    : path_(std::move(file)), per_expert_(per_expert) {
  const std::string history = kept_history(resumed_step);
  const std::filesystem::path fresh = path_.string() + ".new";
  {
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << history;
    out.flush();
    if (!out) fail(fresh, "cannot write");
  }
  std::error_code error;
  std::filesystem::rename(fresh, path_, error);
  if (error) fail(path_, "cannot replace");
  file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file_ < 0) fail(path_, "cannot open");
}

MetricsFile::~MetricsFile() {
  write_waiting();
  ::close(file_);
}

// A write that was cut goes on where it stopped, so lines stay whole. False leaves the cause in errno.
bool MetricsFile::write_waiting() {
  while (!waiting_.empty()) {
    const ssize_t count = ::write(file_, waiting_.data(), waiting_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    waiting_.erase(0, static_cast<std::size_t>(count));
  }
  return true;
}

void MetricsFile::append(const std::string& line) {
  const bool was_waiting = !waiting_.empty();
  waiting_ += line;
  if (write_waiting()) return;
  const bool is_full = errno == ENOSPC || errno == EDQUOT;
  if (!is_full || waiting_.size() > kMostWaitingBytes) fail(path_, "cannot append to");
  if (!was_waiting)
    spdlog::warn("the disk is full: lines of {} wait in memory until it has space", path_.string());
}

void MetricsFile::write(const StepRecord& record) {
  Json json = {{"step", record.step},
               {"tokens", record.tokens},
               {"loss", number(record.summary.loss)},
               {"auxiliary_loss", number(record.summary.auxiliary_loss())},
               {"gradient_norm", number(record.gradient_norm)},
               {"clip_factor", number(record.clip_factor)},
               {"learning_rate", record.learning_rate},
               {"skipped", record.skipped},
               {"spiked", record.spiked},
               {"load_ratio", load_ratio(record.summary)},
               {"seconds", record.seconds},
               {"loader_wait_seconds", record.loader_wait_seconds},
               {"tokens_per_second", record.tokens_per_second},
               {"flops_per_second", record.flops_per_second},
               {"utilisation", record.utilisation}};
  Json layers = Json::array();
  for (const moe::LayerSummary& layer : record.summary.layers)
    layers.push_back(layer_json(layer, per_expert_));
  json["layers"] = std::move(layers);
  append(json.dump() + "\n");
}

void MetricsFile::write(const RollbackRecord& record) {
  const Json json = {{"step", record.step},
                     {"rolled_back_from", record.from_step},
                     {"skipped_batches", {record.first_batch, record.last_batch}}};
  append(json.dump() + "\n");
}

void MetricsFile::write(const EvaluationRecord& record) {
  const Json json = {{"step", record.step},
                     {"validation_loss", number(record.loss)},
                     {"validation_perplexity", number(record.perplexity)},
                     {"validation_tokens", record.tokens},
                     {"validation_seconds", record.seconds}};
  append(json.dump() + "\n");
}

}  // namespace switchyard::app
