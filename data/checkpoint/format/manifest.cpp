#include "data/checkpoint/format/manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <set>

#include "data/checkpoint/format/names.h"
#include "data/safetensors/header.h"
#include "data/safetensors/strict_json.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {
namespace {

using nlohmann::json;

constexpr std::string_view kOpening = "{\"manifest_digest\":\"";
constexpr std::size_t kDigestDigits = 32;
constexpr int kMaxDepth = 8;

template <typename... Args>
[[noreturn]] void refuse(std::string_view place, fmt::format_string<Args...> text, Args&&... args) {
  throw CheckpointError(fmt::format("{}: {}", place, fmt::format(text, std::forward<Args>(args)...)));
}

/// One JSON object whose every key must be asked for.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string what, std::string_view place)
      : object_(object), what_(std::move(what)), place_(place) {
    if (!object.is_object()) refuse(place_, "{} must be an object; got {}", what_, object.type_name());
  }

  const json& at(const char* key) {
    const auto found = object_.find(key);
    if (found == object_.end()) refuse(place_, "{} must have '{}'", what_, key);
    asked_.insert(key);
    return *found;
  }
  std::int64_t integer(const char* key, std::int64_t low,
                       std::int64_t high = std::numeric_limits<std::int64_t>::max()) {
    return checked_integer(at(key), key, low, high);
  }
  std::string text(const char* key) {
    const json& value = at(key);
    if (!value.is_string()) refuse(place_, "{}: '{}' must be text; got {}", what_, key, value.type_name());
    return value.get<std::string>();
  }
  Digest digest(const char* key) { return checked_digest(at(key), key); }
  const json& list(const char* key) {
    const json& value = at(key);
    if (!value.is_array()) refuse(place_, "{}: '{}' must be a list; got {}", what_, key, value.type_name());
    return value;
  }
  std::vector<std::int64_t> integers(const char* key) {
    std::vector<std::int64_t> values;
    for (const json& value : list(key))
      values.push_back(checked_integer(value, key, 0, std::numeric_limits<std::int64_t>::max()));
    return values;
  }
  std::vector<Digest> digests(const char* key) {
    std::vector<Digest> values;
    for (const json& value : list(key)) values.push_back(checked_digest(value, key));
    return values;
  }
  void finish() const {
    for (const auto& item : object_.items())
      if (asked_.count(item.key()) == 0) refuse(place_, "{} has the unknown key '{}'", what_, item.key());
  }

 private:
  std::int64_t checked_integer(const json& value, const char* key, std::int64_t low,
                               std::int64_t high) const {
    const bool is_small =
        value.is_number_integer() &&
        (!value.is_number_unsigned() ||
         value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (!is_small || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high)
      refuse(place_, "{}: '{}' must be an integer from {} to {}; got {}", what_, key, low, high,
             value.is_number() ? value.dump() : value.type_name());
    return value.get<std::int64_t>();
  }
  Digest checked_digest(const json& value, const char* key) const {
    if (!value.is_string()) refuse(place_, "{}: '{}' must be text; got {}", what_, key, value.type_name());
    const auto text = value.get<std::string>();
    try {
      const Digest digest = Digest::parse(text);
      if (digest.text() == text) return digest;
    } catch (const DataError&) {
    }
    refuse(place_, "{}: '{}' must be 32 lower-case hexadecimal digits", what_, key);
  }

  const json& object_;
  std::string what_;
  std::string_view place_;
  std::set<std::string> asked_;
};

json to_json(const TensorRecord& tensor) {
  json slices = json::array();
  for (const auto& slice : tensor.slices)
    slices.push_back({{"part", slice.part},
                      {"offset", slice.offset},
                      {"begin", slice.begin},
                      {"end", slice.end},
                      {"digest", slice.digest.text()}});
  return {{"name", tensor.name},
          {"dtype", safetensors_dtype(tensor.dtype)},
          {"shape", tensor.shape},
          {"slices", std::move(slices)}};
}

json to_json(const PartFile& part, int index) {
  json chunks = json::array();
  for (const auto& chunk : part.chunks) chunks.push_back(chunk.text());
  return {{"file", part_file_name(index)},
          {"size_bytes", part.size_bytes},
          {"digest", part.digest.text()},
          {"chunk_digests", std::move(chunks)}};
}

PartFile part_from(const json& value, int index, std::string_view place) {
  ObjectReader reader(value, fmt::format("part {}", index), place);
  // One allowed name for each index: no path, no second spelling, nothing to follow.
  if (const auto name = reader.text("file"); name != part_file_name(index))
    refuse(place, "part {} must be the file '{}'; got '{}'", index, part_file_name(index),
           name_component(name));
  PartFile part;
  part.size_bytes = reader.integer("size_bytes", 1);
  part.digest = reader.digest("digest");
  part.chunks = reader.digests("chunk_digests");
  reader.finish();
  const std::int64_t chunks = (part.size_bytes - 1) / kChunkBytes + 1;
  if (static_cast<std::int64_t>(part.chunks.size()) != chunks)
    refuse(place, "part {} of {} bytes must have {} chunk digests; got {}", index, part.size_bytes, chunks,
           part.chunks.size());
  return part;
}

SliceRecord slice_from(const json& value, const TensorRecord& tensor, const std::vector<PartFile>& parts,
                       std::string_view place) {
  ObjectReader reader(value, fmt::format("a slice of tensor '{}'", tensor.name), place);
  SliceRecord slice;
  slice.part = static_cast<int>(reader.integer("part", 0, static_cast<std::int64_t>(parts.size()) - 1));
  const std::int64_t part_bytes = parts[static_cast<std::size_t>(slice.part)].size_bytes;
  slice.offset = reader.integer("offset", 0, part_bytes);
  slice.begin = reader.integer("begin", 0, tensor.elements());
  slice.end = reader.integer("end", slice.begin, tensor.elements());
  slice.digest = reader.digest("digest");
  reader.finish();
  const auto element_bytes = static_cast<std::int64_t>(dtype_size(tensor.dtype));
  if ((part_bytes - slice.offset) / element_bytes < slice.end - slice.begin)
    refuse(place, "tensor '{}': elements [{}, {}) at byte {} must lie inside part {} of {} bytes",
           tensor.name, slice.begin, slice.end, slice.offset, slice.part, part_bytes);
  return slice;
}

TensorRecord tensor_from(const json& value, const std::vector<PartFile>& parts, std::string_view place) {
  ObjectReader reader(value, "a tensor", place);
  TensorRecord tensor;
  tensor.name = reader.text("name");
  check_tensor_name(tensor.name, place);
  const auto dtype_text = reader.text("dtype");
  const auto dtype = dtype_of_safetensors(dtype_text);
  if (!dtype) refuse(place, "tensor '{}' has the unknown dtype '{}'", tensor.name, dtype_text);
  tensor.dtype = *dtype;
  tensor.shape = reader.integers("shape");
  const auto elements = element_count(tensor.shape);
  if (tensor.shape.size() > kMaxTensorDims || !elements ||
      *elements > std::numeric_limits<std::int64_t>::max() / 8)
    refuse(place, "tensor '{}' must have at most {} dims and fewer than 2^60 elements; got shape [{}]",
           tensor.name, kMaxTensorDims, fmt::join(tensor.shape, ", "));
  for (const json& slice : reader.list("slices"))
    tensor.slices.push_back(slice_from(slice, tensor, parts, place));
  reader.finish();
  check_slices_cover(tensor, place);
  return tensor;
}

State state_from(const json& value, std::string_view place) {
  if (!value.is_object()) refuse(place, "'state' must be an object; got {}", value.type_name());
  State state;
  for (const auto& item : value.items()) {
    if (item.value().is_string()) {
      state[item.key()] = item.value().get<std::string>();
    } else {
      state[item.key()] = ObjectReader(value, "'state'", place)
                              .integer(item.key().c_str(), std::numeric_limits<std::int64_t>::min());
    }
  }
  return state;
}

void check_own_digest(std::string_view text, std::string_view place) {
  const std::size_t body = kOpening.size() + kDigestDigits;
  if (text.size() < body || text.substr(0, kOpening.size()) != kOpening)
    refuse(place, "a manifest must begin with its own digest; got {} bytes that do not", text.size());
  const std::string expected(text.substr(kOpening.size(), kDigestDigits));
  const std::string found = digest_of(text.data() + body, text.size() - body).text();
  if (expected != found)
    refuse(place, "bytes [{}, {}): digest expected {}, found {}", body, text.size(), expected, found);
}

}  // namespace

std::int64_t TensorRecord::elements() const {
  const auto count = element_count(shape);
  SWITCHYARD_CHECK(count, "tensor '{}': shape [{}]", name, fmt::join(shape, ", "));
  return *count;
}

void check_tensor_name(std::string_view name, std::string_view place) {
  if (name.empty() || name.size() > kMaxTensorNameBytes)
    refuse(place, "a tensor name must have 1 to {} bytes; got {}", kMaxTensorNameBytes, name.size());
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      refuse(place, "a tensor name must not hold control characters; got '{}'", name_component(name));
}

void check_slices_cover(TensorRecord& tensor, std::string_view place) {
  std::sort(tensor.slices.begin(), tensor.slices.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t expected = 0;
  const SliceRecord* before = nullptr;
  for (const auto& slice : tensor.slices) {
    if (slice.begin > expected)
      refuse(place, "tensor '{}': elements [{}, {}) are missing", tensor.name, expected, slice.begin);
    if (slice.begin < expected)
      refuse(place, "tensor '{}': elements [{}, {}) are given twice, by part {} and part {}", tensor.name,
             slice.begin, std::min(expected, slice.end), before->part, slice.part);
    expected = slice.end;
    before = &slice;
  }
  if (expected != tensor.elements())
    refuse(place, "tensor '{}': elements [{}, {}) are missing", tensor.name, expected, tensor.elements());
}

std::string format_manifest(const Manifest& manifest) {
  json state = json::object();
  for (const auto& [key, value] : manifest.state)
    std::visit([&, &name = key](const auto& held) { state[name] = held; }, value);
  json tensors = json::array(), parts = json::array();
  for (const auto& tensor : manifest.tensors) tensors.push_back(to_json(tensor));
  for (std::size_t i = 0; i < manifest.parts.size(); ++i)
    parts.push_back(to_json(manifest.parts[i], static_cast<int>(i)));
  const json document = {{"format_version", kCheckpointFormatVersion},
                         {"chunk_bytes", kChunkBytes},
                         {"step", manifest.step},
                         {"run", manifest.run},
                         {"config_digest", manifest.config_digest},
                         {"state", std::move(state)},
                         {"continuation", manifest.continuation},
                         {"tensors", std::move(tensors)},
                         {"parts", std::move(parts)}};
  std::string body;
  try {
    body = "\",\n" + document.dump(1).substr(2) + "\n";
  } catch (const json::exception& error) {
    throw InternalError(
        fmt::format("internal: run, config digest and state must be UTF-8: {}", error.what()));
  }
  return std::string(kOpening) + digest_of(body.data(), body.size()).text() + body;
}

Manifest parse_manifest(std::string_view text, std::string_view place) {
  check_own_digest(text, place);
  json document;
  try {
    document = parse_strict_json(text, kMaxDepth, place);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  ObjectReader reader(document, "the manifest", place);
  reader.text("manifest_digest");
  if (const auto version = reader.integer("format_version", 0); version != kCheckpointFormatVersion)
    refuse(place, "format version {} is {}; this program reads version {}", version,
           version > kCheckpointFormatVersion ? "newer than this program: use a newer one" : "unknown",
           kCheckpointFormatVersion);
  reader.integer("chunk_bytes", kChunkBytes, kChunkBytes);
  Manifest manifest;
  manifest.step = reader.integer("step", 0);
  manifest.run = reader.text("run");
  manifest.config_digest = reader.text("config_digest");
  manifest.state = state_from(reader.at("state"), place);
  for (const json& key : reader.list("continuation")) {
    if (!key.is_string() || manifest.state.count(key.get<std::string>()) == 0)
      refuse(place, "'continuation' must list keys of 'state'; got {}",
             key.is_string() ? key.get<std::string>() : key.type_name());
    manifest.continuation.push_back(key.get<std::string>());
  }
  const json& parts = reader.list("parts");
  if (parts.size() > static_cast<std::size_t>(kMaxParts))
    refuse(place, "there may be at most {} parts; got {}", kMaxParts, parts.size());
  for (const json& part : parts)
    manifest.parts.push_back(part_from(part, static_cast<int>(manifest.parts.size()), place));
  for (const json& tensor : reader.list("tensors")) {
    manifest.tensors.push_back(tensor_from(tensor, manifest.parts, place));
    if (const auto count = manifest.tensors.size();
        count > 1 && manifest.tensors[count - 2].name >= manifest.tensors[count - 1].name)
      refuse(place, "tensors must be in rising order of name; got '{}' after '{}'",
             manifest.tensors[count - 1].name, manifest.tensors[count - 2].name);
  }
  reader.finish();
  return manifest;
}

}  // namespace switchyard::data
