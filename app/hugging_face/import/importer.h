// A Hugging Face folder into a checkpoint of ours.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/hugging_face/family/read_config.h"
#include "app/hugging_face/import/elements.h"
#include "data/io/io.h"

namespace switchyard::app {

struct ImportOptions {
  std::filesystem::path folder;
  std::filesystem::path output;  ///< a run folder to make: checkpoints/step-00000000 and continue.yaml
  std::int64_t kv_heads = 0;     ///< 0 = as they are
  Upcycling upcycling;           ///< experts 0 = as they are
  std::int64_t top_k = 2;        ///< of an upcycled model
  bool replace = false;          ///< an output folder that is there
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< bytes of f32 written
};

struct ImportReport {
  ModelDescription description;  ///< of the folder; what came out is in `model`
  moe::ModelConfig model;
  std::int64_t parameters = 0;
  std::int64_t tensors = 0;  ///< in the folder
  std::size_t files = 0;     ///< in the folder
  std::string tokenizer;     ///< name; empty without one
  std::filesystem::path checkpoint;
  std::filesystem::path yaml;
};

/// Streams: holds a few MiB beside the headers, whatever the model's size. The output appears whole or not at
/// all. Throws UserError for options that do not fit the model or an output that is there; DataError for
/// everything wrong with the folder (read_model_description, ModelFolder, check_tensors); DiskError.
ImportReport import_model(data::Io& io, const ImportOptions& options);

}  // namespace switchyard::app
