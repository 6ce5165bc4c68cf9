#include "app/metrics/step_line.h"

#include <fmt/format.h>

#include "app/terminal/format.h"

namespace switchyard::app {

std::string step_line(const StepRecord& record, double eta_seconds) {
  const auto digits = fmt::formatted_size("{}", record.steps);
  std::string line =
      fmt::format("step {:>{}}/{}  loss {:.4f}", record.step, digits, record.steps, record.summary.loss);
  if (!record.summary.layers.empty()) line += fmt::format("  aux {:.4f}", record.summary.auxiliary_loss());
  line +=
      fmt::format("  grad {:.3f}  lr {:.2e}  {} tok/s  {}FLOP/s", record.gradient_norm, record.learning_rate,
                  format_count(record.tokens_per_second), format_count(record.flops_per_second));
  if (record.utilisation > 0) line += fmt::format(" ({:.0f}%)", 100 * record.utilisation);
  if (!record.summary.layers.empty()) line += fmt::format("  load {:.2f}", load_ratio(record.summary));
  if (record.skipped) line += record.spiked ? "  SKIPPED: spike" : "  SKIPPED: not finite";
  if (eta_seconds >= 0) line += fmt::format("  eta {}", format_duration(eta_seconds));
  return line;
}

}  // namespace switchyard::app
