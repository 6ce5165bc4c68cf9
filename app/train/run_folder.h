// Where a run keeps what.
#pragma once

#include <filesystem>

namespace switchyard::app {

struct RunFolder {
  std::filesystem::path root;

  std::filesystem::path config() const { return root / "config.yaml"; }
  std::filesystem::path metrics() const { return root / "metrics.jsonl"; }
  std::filesystem::path log() const { return root / "log.txt"; }
  std::filesystem::path flights() const { return root / "flight"; }
  std::filesystem::path checkpoints() const { return root / "checkpoints"; }
};

}  // namespace switchyard::app
