#include "app/guard/skipped_batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "kernels/runtime/check.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

void SkippedBatches::add(std::int64_t begin, std::int64_t end) {
  SWITCHYARD_CHECK(begin >= 0 && begin < end, "skipped batches [{}, {})", begin, end);
  Range joined{begin, end};
  std::vector<Range> kept;
  for (const Range& range : ranges_) {
    if (range.end < joined.begin || range.begin > joined.end) {
      kept.push_back(range);
    } else {
      joined.begin = std::min(joined.begin, range.begin);
      joined.end = std::max(joined.end, range.end);
    }
  }
  kept.push_back(joined);
  std::ranges::sort(kept, {}, &Range::begin);
  ranges_ = std::move(kept);
}

std::int64_t SkippedBatches::batch_of(std::int64_t step) const {
  std::int64_t batch = step;
  for (const Range& range : ranges_) {
    if (batch < range.begin) break;
    batch += range.end - range.begin;
  }
  return batch;
}

std::int64_t SkippedBatches::count() const {
  std::int64_t count = 0;
  for (const Range& range : ranges_) count += range.end - range.begin;
  return count;
}

std::int64_t SkippedBatches::last_step() const {
  return ranges_.empty() ? 0 : ranges_.back().end - count();
}

std::string SkippedBatches::text() const {
  std::string text;
  for (const Range& range : ranges_)
    text += fmt::format("{}{}-{}", text.empty() ? "" : ",", range.begin, range.end - 1);
  return text;
}

SkippedBatches SkippedBatches::parse(std::string_view text) {
  SkippedBatches skipped;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::int64_t first = 0, last = 0;
    const auto low = std::from_chars(at, end, first);
    const bool has_dash = low.ec == std::errc() && low.ptr != end && *low.ptr == '-';
    const auto high = has_dash ? std::from_chars(low.ptr + 1, end, last) : low;
    if (!has_dash || high.ec != std::errc() || first < 0 || last < first)
      throw CheckpointError(
          fmt::format("checkpoint: skipped batches must read like 5-7,12-12; got '{}'", text));
    skipped.add(first, last + 1);
    at = high.ptr;
    if (at != end && *at == ',') ++at;
  }
  if (skipped.text() != text)
    throw CheckpointError(fmt::format("checkpoint: skipped batches must be rising ranges; got '{}'", text));
  return skipped;
}

}  // namespace switchyard::app
