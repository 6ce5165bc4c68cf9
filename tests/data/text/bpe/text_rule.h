// The strings on which ids are compared with the `tokenizers` package, made by rule: the same as in
// scripts/parity/tokenizers/text_rule.py, byte for byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::data {

/// Where the vocabularies, checksums and lists are.
std::filesystem::path bpe_fixtures();
/// A file of bpe_fixtures().
std::string read_fixture(const std::string& name);

class TextRule {
 public:
  TextRule();
  /// String `index` below size(); may be ill-formed UTF-8.
  std::string string(std::uint64_t index) const;
  std::uint64_t size() const;

 private:
  class Draws;
  std::string sweep(std::uint64_t index) const;
  std::string pair(std::uint64_t index) const;
  std::string element(Draws& draw) const;
  std::string mixed(Draws& draw) const;
  std::string with_added(Draws& draw) const;
  std::string broken(Draws& draw) const;
  const std::string& of(Draws& draw, const char* list) const;
  std::string in_ranges(Draws& draw, const char* list) const;

  nlohmann::json lists_;
};

/// CRC-32 (IEEE, as zlib's) of `bytes` after those that gave `sum`.
std::uint32_t crc32(std::string_view bytes, std::uint32_t sum);

}  // namespace switchyard::data
