// One part file of a checkpoint: the slices that one rank holds, in safetensors layout.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/checkpoint/format/manifest.h"
#include "data/io/io.h"

namespace switchyard::data {

/// Elements [begin, end) of a flattened global tensor, in memory. Not owned.
struct TensorSlice {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // global
  std::int64_t begin = 0, end = 0;
  const void* data = nullptr;  // (end - begin) elements
};

/// What the writer of a part tells the one who commits.
struct PartRecord {
  struct Slice {
    std::string name;
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    SliceRecord record;
  };
  int index = 0;
  PartFile file;
  std::vector<Slice> slices;

  /// For sending to the committer. parse() throws InternalError on anything that text() did not make.
  std::string text() const;
  static PartRecord parse(std::string_view text);
};

/// Bytes of the part file that these slices make: what a free-space check must ask for.
std::int64_t part_file_bytes(std::span<const TensorSlice> slices);

/// Writes part `index` of the attempt: reserves the space, streams the slices from where they lie, syncs,
/// closes. Any rank may write any part; each index once. Throws InternalError on a slice outside its tensor
/// or given twice, DiskError or UserError from the file system; then the attempt must be abandoned.
PartRecord write_part(Io& io, const std::filesystem::path& attempt, int index,
                      std::span<const TensorSlice> slices);

/// Elements [begin, end) of `slice`'s tensor into `out`, asked for in order, at most a MiB at a time.
using SliceSource =
    std::function<void(const TensorSlice& slice, std::int64_t begin, std::int64_t end, void* out)>;

/// The same without the slices in memory: their `data` is null and `source` makes the bytes as they are
/// written.
PartRecord write_part(Io& io, const std::filesystem::path& attempt, int index,
                      std::span<const TensorSlice> slices, const SliceSource& source);

/// The name of a slice inside its part file: the tensor's own name when it is whole, else "name[begin:end]".
std::string slice_entry_name(const TensorRecord& tensor, const SliceRecord& slice);

}  // namespace switchyard::data
