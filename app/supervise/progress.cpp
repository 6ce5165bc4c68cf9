#include "app/supervise/progress.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "data/checkpoint/load/verify.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

std::int64_t newest_committed_step(const RunFolder& folder) {
  data::RealIo io;
  try {
    for (const auto& candidate : data::list_checkpoints(io, folder.checkpoints()).candidates)
      if (!data::verify_checkpoint(io, candidate.path, {.run = {}, .check_digests = false}))
        return candidate.step;
  } catch (const Error&) {  // a disk that fails now: the run itself will say so
  }
  return -1;
}

double kept_seconds(const std::filesystem::path& metrics, std::int64_t after, std::int64_t last) {
  std::ifstream in(metrics);
  std::map<std::int64_t, double> seconds;  // a step done twice counts once, with its last time
  for (std::string line; std::getline(in, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, false);
    if (!entry.is_object() || !entry.contains("loss") || !entry.contains("seconds")) continue;
    const std::int64_t step = entry.value("step", std::int64_t{0});
    const bool is_kept = step > after && step <= last && !entry.value("skipped", false);
    if (is_kept) seconds[step] = entry.value("seconds", 0.0);
  }
  double sum = 0;
  for (const auto& [step, taken] : seconds) sum += taken;
  return sum;
}

}  // namespace switchyard::app
