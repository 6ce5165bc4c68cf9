// How much memory the code under test asks for. Programs that link this have their operator new counted.
#pragma once

#include <cstdint>

namespace switchyard::test {

/// Counts from its construction on, over all threads. What is asked for by malloc itself is not seen. One at
/// a time.
class AllocationMeter {
 public:
  AllocationMeter();
  /// The most that was held at once beyond what was held at the start.
  std::int64_t peak_bytes() const;

 private:
  std::int64_t start_bytes_;
};

}  // namespace switchyard::test
