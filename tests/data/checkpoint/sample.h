// A small training state that every checkpoint test saves and checks: values are a function of step, tensor
// and element, so that a mix of two steps or a displaced byte shows.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "data/checkpoint/format/part.h"
#include "data/checkpoint/load/reader.h"
#include "data/checkpoint/load/verify.h"
#include "data/checkpoint/save/attempt.h"
#include "data/io/io.h"

namespace switchyard::data {

struct SampleTensor {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

/// Seven tensors: four dtypes, a scalar, one without elements; about `kilobytes` KiB in all.
std::vector<SampleTensor> sample_tensors(std::int64_t step, int kilobytes = 16);

/// The tensors cut at random places and dealt at random to `num_parts` parts. The slices point into
/// `tensors`.
std::vector<std::vector<TensorSlice>> cut_at_random(const std::vector<SampleTensor>& tensors, int num_parts,
                                                    std::uint64_t seed);

struct SaveSpec {
  std::int64_t step = 1;
  int num_parts = 2;
  std::uint64_t cut_seed = 1;
  std::string run = "sample";
  int kilobytes = 16;
};
CommitSpec sample_commit_spec(const SaveSpec& spec);
/// begin, all parts, commit; on an Error abandons the attempt and throws it on.
std::filesystem::path save_sample(Io& io, const std::filesystem::path& root, const SaveSpec& spec);

/// Empty if every tensor of the checkpoint reads as that step's; else what differs.
std::string difference_from_sample(Io& io, const std::filesystem::path& checkpoint, std::int64_t step,
                                   int kilobytes = 16);

/// The number in an environment variable, or `fallback`: how many random trials a test makes.
std::int64_t trials(const char* variable, std::int64_t fallback);

/// A fresh folder under the system's temporary folder, deleted at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace switchyard::data
