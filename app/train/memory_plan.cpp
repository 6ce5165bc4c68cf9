#include "app/train/memory_plan.h"

#include <fmt/format.h>

#include "app/terminal/format.h"
#include "moe/model/memory.h"

namespace switchyard::app {

namespace {

std::string bytes_text(std::size_t bytes) {
  return format_bytes(static_cast<std::int64_t>(bytes));
}

std::string advice_for_state(const Config& config) {
  std::string advice = "start more ranks on further GPUs, which share masters and moments";
  if (config.model.moe.experts > 0)
    advice += fmt::format(", and raise parallel.expert (now {}), which spreads the experts",
                          config.parallel.expert);
  if (config.model.activation == DType::f32) advice += "; train.precision: bf16 halves the weights";
  return advice;
}

std::string advice_for_activations(const Config& config) {
  std::string advice = fmt::format("lower train.micro_batch (now {}) or data.sequence_length (now {})",
                                   config.train.micro_batch, config.data.sequence_length);
  if (config.train.recompute == moe::Recompute::none) advice += ", set train.recompute: block";
  if (config.model.moe.experts > 0 && config.parallel.expert > 1)
    advice += fmt::format(", bound parallel.exchange_rows (now {})", config.parallel.exchange_rows);
  return advice;
}

}  // namespace

std::string out_of_memory_text(const Config& config, int ranks, const kernels::OutOfMemory& error,
                               std::size_t activation_bytes) {
  const moe::StateMemory state = moe::state_memory(config.model, ranks, config.parallel.expert);
  const std::string of_state = advice_for_state(config), of_batch = advice_for_activations(config);
  const bool state_is_most = 2 * static_cast<std::size_t>(state.total()) > error.total;
  return fmt::format(
      "the device is out of memory: {} were asked for, {} of {} are free. One rank of {} needs\n"
      "  {:>10}  weights, {} parameters\n"
      "  {:>10}  exact gradient sums, 8 bytes a parameter\n"
      "  {:>10}  masters and moments of its share\n"
      "  {:>10}  activations and scratch so far, for {} x {} tokens at once\n"
      "Ranks that share a GPU each need this. {}; or {}",
      bytes_text(error.asked), bytes_text(error.free), bytes_text(error.total), ranks,
      format_bytes(state.weights), format_count(static_cast<double>(state.parameters)),
      format_bytes(state.sums), format_bytes(state.optimizer), bytes_text(activation_bytes),
      config.train.micro_batch, config.data.sequence_length, state_is_most ? of_state : of_batch,
      state_is_most ? of_batch : of_state);
}

}  // namespace switchyard::app
