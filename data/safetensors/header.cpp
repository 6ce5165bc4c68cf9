#include "data/safetensors/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_set>

#include "data/safetensors/strict_json.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {
namespace {

using nlohmann::json;

struct DtypeRow {
  std::string_view name;
  int bits;
};
/// In the library's alignment order: files list the last of these first.
constexpr std::array<DtypeRow, 22> kDtypes = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

/// Of each DType, in its order.
constexpr std::array<std::string_view, 9> kOurs = {"F32", "BF16", "F64", "I32", "I64",
                                                   "U8",  "U16",  "U32", "U64"};

std::size_t dtype_row(std::string_view name) {
  std::size_t row = 0;
  while (row < kDtypes.size() && kDtypes[row].name != name) ++row;
  return row;
}

/// Bytes of a tensor; empty on overflow or when sub-byte elements do not fill whole bytes.
std::optional<std::int64_t> byte_count(const std::vector<std::int64_t>& shape, int bits) {
  const auto elements = element_count(shape);
  std::int64_t total_bits = 0;
  if (!elements || __builtin_mul_overflow(*elements, bits, &total_bits) || total_bits % 8 != 0) return {};
  return total_bits / 8;
}

/// Reads the header without building a document: a header of 100 MB costs its entries and no more.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  explicit HeaderReader(std::string_view place) : place_(place) {}
  SafetensorsHeader header;

  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("a truth value"); }
  bool number_integer(number_integer_t value) override { refuse(fmt::format("the number {}", value)); }
  bool number_float(number_float_t, const string_t& text) override {
    refuse(fmt::format("the number {}", text));
  }
  bool binary(binary_t&) override { refuse("binary"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (level_ != Level::list) refuse(fmt::format("the number {}", value));
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max()))
      refuse(fmt::format("the number {}", value));
    if (list_->size() >= kMaxListItems) refuse(fmt::format("more than {} numbers", kMaxListItems));
    list_->push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(string_t& text) override {
    if (level_ == Level::metadata) {
      header.metadata[key_] = text;
    } else if (level_ == Level::tensor && key_ == "dtype") {
      header.entries.back().dtype = text;
    } else {
      refuse(fmt::format("the text '{}'", text));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (level_ == Level::start) {
      level_ = Level::top;
    } else if (level_ == Level::top && tensor_ == "__metadata__") {
      level_ = Level::metadata;
    } else if (level_ == Level::top) {
      level_ = Level::tensor;
      header.entries.emplace_back().name = tensor_;
      offsets_.clear();
    } else {
      refuse("an object");
    }
    inner_keys_.clear();
    return true;
  }

  bool end_object() override {
    if (level_ == Level::tensor) {
      if (inner_keys_.size() != 3) refuse("a tensor without dtype, shape or data_offsets");
      if (offsets_.size() != 2) refuse(fmt::format("{} data_offsets in place of 2", offsets_.size()));
      header.entries.back().begin = offsets_[0];
      header.entries.back().end = offsets_[1];
    }
    level_ = level_ == Level::top ? Level::start : Level::top;
    return true;
  }

  bool key(string_t& text) override {
    if (level_ == Level::top) {
      if (!tensor_names_.insert(text).second) refuse_key(text, "appears twice");
      tensor_ = text;
      return true;
    }
    if (!inner_keys_.insert(text).second) refuse_key(text, "appears twice");
    if (level_ == Level::tensor && text != "dtype" && text != "shape" && text != "data_offsets")
      refuse_key(text, "is not one of dtype, shape, data_offsets");
    key_ = text;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ != Level::tensor || key_ == "dtype") refuse("a list");
    list_ = key_ == "shape" ? &header.entries.back().shape : &offsets_;
    level_ = Level::list;
    return true;
  }
  bool end_array() override {
    level_ = Level::tensor;
    return true;
  }

  bool parse_error(std::size_t at, const std::string&, const json::exception& error) override {
    throw DataError(
        fmt::format("{}: safetensors header is not valid JSON at byte {}: {}", place_, at, error.what()));
  }

 private:
  enum class Level { start, top, metadata, tensor, list };
  static constexpr std::size_t kMaxListItems = 32;

  [[noreturn]] void refuse(const std::string& found) const {
    throw DataError(
        fmt::format("{}: safetensors header, entry '{}', key '{}': got {}", place_, tensor_, key_, found));
  }
  [[noreturn]] void refuse_key(const std::string& text, std::string_view why) const {
    throw DataError(
        fmt::format("{}: safetensors header, entry '{}': key '{}' {}", place_, tensor_, text, why));
  }

  std::string_view place_;
  Level level_ = Level::start;
  std::string tensor_, key_;
  std::unordered_set<std::string> tensor_names_, inner_keys_;
  std::vector<std::int64_t>* list_ = nullptr;
  std::vector<std::int64_t> offsets_;
};

void check_entry(const SafetensorsEntry& entry, std::string_view place) {
  const int bits = safetensors_dtype_bits(entry.dtype);
  if (bits == 0)
    throw DataError(
        fmt::format("{}: tensor '{}' has the unknown dtype '{}'", place, entry.name, entry.dtype));
  const auto bytes = byte_count(entry.shape, bits);
  if (!bytes)
    throw DataError(fmt::format("{}: tensor '{}': shape [{}] of {} is no whole number of bytes below 2^63",
                                place, entry.name, fmt::join(entry.shape, ", "), entry.dtype));
  if (entry.end < entry.begin || entry.end - entry.begin != *bytes)
    throw DataError(
        fmt::format("{}: tensor '{}' of {} bytes must have as many between its data_offsets; got "
                    "[{}, {}]",
                    place, entry.name, *bytes, entry.begin, entry.end));
}

}  // namespace

std::string_view safetensors_dtype(DType dtype) {
  return kOurs.at(static_cast<std::size_t>(dtype));
}

std::optional<DType> dtype_of_safetensors(std::string_view name) {
  const auto found = std::ranges::find(kOurs, name);
  if (found == kOurs.end()) return {};
  return static_cast<DType>(found - kOurs.begin());
}

int safetensors_dtype_bits(std::string_view name) {
  const std::size_t row = dtype_row(name);
  return row < kDtypes.size() ? kDtypes[row].bits : 0;
}

std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  bool is_zero = false;
  for (const std::int64_t dim : shape) {
    if (dim < 0) return {};
    is_zero = is_zero || dim == 0;
    if (dim > 0 && __builtin_mul_overflow(count, dim, &count)) return {};
  }
  return is_zero ? 0 : count;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::int64_t file_bytes,
                                           std::string_view place) {
  if (text.empty() || text.front() != '{')
    throw DataError(fmt::format("{}: a safetensors header must begin with '{{'", place));
  refuse_nul(text, place);
  HeaderReader reader(place);
  json::sax_parse(text.begin(), text.end(), &reader);
  SafetensorsHeader header = std::move(reader.header);
  header.data_begin = 8 + static_cast<std::int64_t>(text.size());
  std::stable_sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t expected = 0;
  for (const auto& entry : header.entries) {
    check_entry(entry, place);
    if (entry.begin != expected)
      throw DataError(fmt::format(
          "{}: tensor '{}' must begin at data byte {}, where the one before it ends; "
          "got {} ({})",
          place, entry.name, expected, entry.begin, entry.begin < expected ? "they overlap" : "a hole"));
    expected = entry.end;
  }
  if (expected != file_bytes - header.data_begin)
    throw DataError(
        fmt::format("{}: the last tensor must end where the file does, at data byte {}; it ends at {}", place,
                    file_bytes - header.data_begin, expected));
  for (auto& entry : header.entries) {
    entry.begin += header.data_begin;
    entry.end += header.data_begin;
  }
  return header;
}

SafetensorsHeader read_safetensors_header(Io& io, const OpenFile& file) {
  const std::string place = file.path.string();
  const std::int64_t file_bytes = io.size_bytes(file);
  std::array<unsigned char, 8> raw{};
  if (io.read(file, 0, raw.data(), raw.size()) != raw.size())
    throw DataError(fmt::format("{}: a safetensors file has at least 8 bytes; got {}", place, file_bytes));
  std::uint64_t length = 0;
  for (std::size_t i = raw.size(); i-- > 0;) length = length << 8 | raw[i];
  if (length > static_cast<std::uint64_t>(kMaxSafetensorsHeaderBytes))
    throw DataError(fmt::format("{}: a safetensors header has at most {} bytes; got {}", place,
                                kMaxSafetensorsHeaderBytes, length));
  if (static_cast<std::int64_t>(length) > file_bytes - 8)
    throw DataError(
        fmt::format("{}: the file ends inside its safetensors header ({} bytes after the length, "
                    "header of {})",
                    place, file_bytes - 8, length));
  std::string text(length, '\0');
  if (io.read(file, 8, text.data(), text.size()) != text.size())
    throw DataError(fmt::format("{}: the file ends inside its safetensors header", place));
  return parse_safetensors_header(text, file_bytes, place);
}

std::pair<SafetensorsHeader, std::string> plan_safetensors(
    std::vector<SafetensorsSpec> specs, const std::map<std::string, std::string>& metadata) {
  std::sort(specs.begin(), specs.end(), [](const auto& a, const auto& b) {
    const std::size_t row_a = dtype_row(a.dtype), row_b = dtype_row(b.dtype);
    return row_a != row_b ? row_a > row_b : a.name < b.name;
  });
  // Ordered by hand: the format's library keeps file order and puts the metadata first, with no spaces.
  std::string text = "{";
  if (!metadata.empty()) text += fmt::format("\"__metadata__\":{}", json(metadata).dump());
  SafetensorsHeader header;
  header.metadata = metadata;
  std::unordered_set<std::string> names = {"__metadata__"};
  std::int64_t offset = 0;
  for (auto& spec : specs) {
    SWITCHYARD_CHECK(names.insert(spec.name).second, "safetensors names must differ; got '{}' twice",
                     spec.name);
    const auto bytes = byte_count(spec.shape, safetensors_dtype_bits(spec.dtype));
    SWITCHYARD_CHECK(safetensors_dtype_bits(spec.dtype) > 0 && bytes,
                     "safetensors '{}': dtype {}, shape [{}]", spec.name, spec.dtype,
                     fmt::join(spec.shape, ", "));
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        text.size() > 1 ? "," : "", json(spec.name).dump(), spec.dtype,
                        fmt::join(spec.shape, ","), offset, offset + *bytes);
    header.entries.push_back({spec.name, spec.dtype, spec.shape, offset, offset + *bytes});
    offset += *bytes;
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  SWITCHYARD_CHECK(static_cast<std::int64_t>(text.size()) <= kMaxSafetensorsHeaderBytes,
                   "a safetensors header has at most {} bytes; got {}", kMaxSafetensorsHeaderBytes,
                   text.size());
  header.data_begin = 8 + static_cast<std::int64_t>(text.size());
  for (auto& entry : header.entries) {
    entry.begin += header.data_begin;
    entry.end += header.data_begin;
  }
  std::string opening(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) opening[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return {std::move(header), opening + text};
}

}  // namespace switchyard::data
