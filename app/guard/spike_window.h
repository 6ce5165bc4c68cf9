// Mean and deviation of the last values of a quantity, and the bound above which the next one is a spike. A
// function of the values in their order alone: computed afresh each time, so that a resumed run has the bits
// of one that never stopped.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace switchyard::app {

class SpikeWindow {
 public:
  /// `size`: values that are kept, at least 2.
  explicit SpikeWindow(std::int64_t size) : size_(static_cast<std::size_t>(size)) {}

  /// Forgets the oldest value once there are more than `size`.
  void add(double value);
  /// mean + sigma * deviation (population); infinity until the window is full. A deviation below a thousandth
  /// of the mean counts as that: where nothing varies, everything would be a spike.
  double bound(double sigma) const;
  bool is_empty() const { return values_.empty(); }

  /// The values, oldest first, each as 16 hexadecimal digits of its bits.
  std::string text() const;
  /// Replaces the values; of more than `size` the last are kept. Throws CheckpointError unless text() made
  /// it.
  void set_text(std::string_view text);

 private:
  std::size_t size_;
  std::deque<double> values_;
};

}  // namespace switchyard::app
