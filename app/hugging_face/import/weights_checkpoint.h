// A checkpoint of weights alone, streamed: for training to start from (train.init_from), not to resume.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/hugging_face/import/elements.h"
#include "data/checkpoint/format/manifest.h"
#include "data/io/io.h"
#include "moe/model/parameters.h"

namespace switchyard::app {

struct WeightsCheckpoint {
  std::string run;
  data::State state;
  std::vector<std::string> continuation;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< bytes
};

struct WrittenWeights {
  std::string folder_name;  ///< "step-00000000"
  std::int64_t elements = 0;
};

/// Makes and commits step 0 in `root`, part files of about 4 GiB. Throws what data/checkpoint/save/attempt.h
/// says and what `elements` throws; nothing committed remains then.
WrittenWeights write_weights(data::Io& io, const std::filesystem::path& root,
                             const std::vector<moe::ParameterSpec>& specs, Elements& elements,
                             const WeightsCheckpoint& checkpoint);

}  // namespace switchyard::app
