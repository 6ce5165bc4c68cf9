#include "app/guard/spike_window.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

constexpr double kLeastDeviation = 1e-3;  // of the mean
constexpr std::size_t kDigits = 16;

}  // namespace

void SpikeWindow::add(double value) {
  values_.push_back(value);
  while (values_.size() > size_) values_.pop_front();
}

double SpikeWindow::bound(double sigma) const {
  if (values_.size() < size_) return std::numeric_limits<double>::infinity();
  const auto count = static_cast<double>(values_.size());
  double sum = 0;
  for (const double value : values_) sum += value;
  const double mean = sum / count;
  double squares = 0;
  for (const double value : values_) squares += (value - mean) * (value - mean);
  return mean + sigma * std::max(std::sqrt(squares / count), kLeastDeviation * std::abs(mean));
}

std::string SpikeWindow::text() const {
  std::string text;
  for (const double value : values_) text += fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value));
  return text;
}

void SpikeWindow::set_text(std::string_view text) {
  values_.clear();
  if (text.size() % kDigits != 0)
    throw CheckpointError(fmt::format(
        "checkpoint: a guard's window must have 16 digits for each value; got {} digits", text.size()));
  for (; !text.empty(); text.remove_prefix(kDigits)) {
    std::uint64_t bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + kDigits, bits, 16);
    if (error != std::errc() || end != text.data() + kDigits || !std::isfinite(std::bit_cast<double>(bits)))
      throw CheckpointError("checkpoint: a guard's window must hold finite numbers as hexadecimal digits");
    add(std::bit_cast<double>(bits));
  }
}

}  // namespace switchyard::app
