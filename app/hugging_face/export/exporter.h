// A checkpoint of ours as a complete Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/hugging_face/family/family.h"
#include "app/hugging_face/tensors/element_format.h"
#include "data/io/io.h"

namespace switchyard::app {

struct ExportOptions {
  std::filesystem::path path;    ///< run folder or checkpoint
  std::filesystem::path output;  ///< folder to make
  ElementFormat format = ElementFormat::f32;
  std::string family;  ///< model_type; empty = the one that fits
  std::int64_t part_bytes =
      5'000'000'000;            ///< most bytes of tensors in one file; a larger tensor has its own
  std::int64_t vocabulary = 0;  ///< rows of embedding and head; 0 = the tokenizer's
  bool replace = false;         ///< an output folder that is there
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< bytes written
};

struct ExportReport {
  Family family = Family::mixtral;
  std::filesystem::path checkpoint;
  std::int64_t step = 0;
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;       ///< of tensors
  std::int64_t vocabulary = 0;  ///< rows of embedding and head
  std::int64_t padding = 0;     ///< rows left out
  std::vector<std::string> files;
};

/// Streams: holds a few MiB beside the lists of tensors. The output appears whole or not at all. Throws
/// UserError for a path that is neither run nor checkpoint, a model that is of no family (choose_family) or
/// an output that is there; CheckpointError; DiskError.
ExportReport export_model(data::Io& io, const ExportOptions& options);

}  // namespace switchyard::app
