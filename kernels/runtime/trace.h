// Where the time of a step goes: calls, seconds, floating-point operations and bytes per op.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace switchyard::kernels {

struct OpCost {
  std::string_view name;  ///< a string literal
  std::int64_t calls = 0;
  double seconds = 0;
  double flops = 0;  ///< useful ones, by the op's own formula
  double bytes = 0;  ///< least traffic to memory, by the op's own formula
};

/// Totals per op since the last reset. Used by the one thread that calls ops; costs two clock reads an op.
class Trace {
 public:
  void add(std::string_view name, double seconds, double flops, double bytes);
  /// In order of first use.
  const std::vector<OpCost>& costs() const { return costs_; }
  void reset() { costs_.clear(); }

 private:
  std::vector<OpCost> costs_;
};

class TraceScope {
 public:
  TraceScope(Trace& trace, std::string_view name, double flops, double bytes)
      : trace_(trace), name_(name), flops_(flops), bytes_(bytes), start_(std::chrono::steady_clock::now()) {}
  ~TraceScope() {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
    trace_.add(name_, elapsed.count(), flops_, bytes_);
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace& trace_;
  std::string_view name_;
  double flops_;
  double bytes_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace switchyard::kernels
