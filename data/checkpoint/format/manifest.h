// What a checkpoint's manifest.json says: every global tensor, where each of its elements lies, and the
// digests of all bytes. The manifest is the only way into a checkpoint; a part file is never looked into by
// itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "data/storage/digest.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::data {

inline constexpr std::int64_t kCheckpointFormatVersion = 1;
/// Part files carry one digest for each run of this many bytes, so that damage can be placed.
inline constexpr std::int64_t kChunkBytes = std::int64_t{4} << 20;
inline constexpr std::int64_t kMaxManifestBytes = std::int64_t{512} << 20;
inline constexpr int kMaxParts = 100'000;
inline constexpr std::size_t kMaxTensorNameBytes = 512;
inline constexpr std::size_t kMaxTensorDims = 8;

/// Integers and texts that the caller saves beside the tensors: seed, data position, layout, ...
using StateValue = std::variant<std::int64_t, std::string>;
using State = std::map<std::string, StateValue>;

/// Elements [begin, end) of a flattened global tensor, and where their bytes lie.
struct SliceRecord {
  int part = 0;
  std::int64_t offset = 0;  // bytes from the start of the part file
  std::int64_t begin = 0, end = 0;
  Digest digest;  // of the slice's bytes
};

struct TensorRecord {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // global
  std::vector<SliceRecord> slices;  // by begin; they cover [0, elements) once
  std::int64_t elements() const;
};

struct PartFile {
  std::int64_t size_bytes = 0;
  Digest digest;               // of the whole file
  std::vector<Digest> chunks;  // of each kChunkBytes, the last one shorter
};

struct Manifest {
  std::int64_t step = 0;
  /// Whose checkpoint this is; two runs in one folder must not resume from each other.
  std::string run;
  std::string config_digest;
  State state;
  /// Keys of `state` that decide how training goes on. They enter tensor_digest().
  std::vector<std::string> continuation;
  std::vector<TensorRecord> tensors;  // by name
  std::vector<PartFile> parts;        // index = part number = file name
};

/// The text of manifest.json. Its first field is the digest of all that follows it.
std::string format_manifest(const Manifest& manifest);

/// Reads a manifest from a stranger. First the manifest's own digest, then the JSON, then every rule: format
/// version, known keys and types, names, shapes, slices that cover each tensor once and lie inside their
/// parts. Throws CheckpointError, beginning with `place`, naming the rule, the tensor or part, expected and
/// found.
Manifest parse_manifest(std::string_view text, std::string_view place);

/// Throws CheckpointError, beginning with `place`, unless the slices (any order) cover the tensor exactly
/// once. Names the first gap or double range by element and part.
void check_slices_cover(TensorRecord& tensor, std::string_view place);
/// Throws CheckpointError, beginning with `place`, unless a name is 1 to 512 bytes of UTF-8 without control
/// characters.
void check_tensor_name(std::string_view name, std::string_view place);

}  // namespace switchyard::data
