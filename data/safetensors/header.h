// The header of a safetensors file: u64 length, JSON, then the tensors' bytes without gaps.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/io/io.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::data {

/// Largest header accepted, in bytes; the format's own limit.
inline constexpr std::int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// "F32", "BF16", ...: the format's name of one of our dtypes.
std::string_view safetensors_dtype(DType dtype);
/// Our dtype of that name, if we have it.
std::optional<DType> dtype_of_safetensors(std::string_view name);
/// Bits of one element; 0 if the format has no such dtype.
int safetensors_dtype_bits(std::string_view name);

struct SafetensorsEntry {
  std::string name;
  std::string dtype;                // as the file spells it; any dtype of the format
  std::vector<std::int64_t> shape;  // empty: scalar
  std::int64_t begin = 0;           // bytes from the start of the file
  std::int64_t end = 0;
};

struct SafetensorsHeader {
  std::int64_t data_begin = 0;            // bytes from the start of the file
  std::vector<SafetensorsEntry> entries;  // in file order
  std::map<std::string, std::string> metadata;
};

/// Elements of a shape; empty if a dim is negative or the product leaves int64.
std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape);

/// Checks and reads the JSON of a file of `file_bytes` bytes. Throws DataError, beginning with `place` and
/// naming the tensor: invalid JSON, duplicate or unknown keys, unknown dtype, a shape that overflows, a range
/// whose length is not elements times size, overlapping ranges, holes, bytes after the last tensor.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::int64_t file_bytes,
                                           std::string_view place);

/// Reads the header of an open file. Throws as above, and when the file is too short or the length too large.
SafetensorsHeader read_safetensors_header(Io& io, const OpenFile& file);

struct SafetensorsSpec {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
};

/// Lays a file out in the order of the format's own library (dtype by falling alignment, then name), so that
/// the same tensors give the same bytes. Returns the header and the text of length and JSON that opens the
/// file. Throws InternalError on a duplicate name, an unknown dtype or a bad shape.
std::pair<SafetensorsHeader, std::string> plan_safetensors(
    std::vector<SafetensorsSpec> specs, const std::map<std::string, std::string>& metadata);

}  // namespace switchyard::data
