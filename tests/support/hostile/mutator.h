// Seeded damage to foreign files, for tests of the code that reads them: blind damage to bytes, and damage to
// JSON that stays JSON, so that it gets behind the parser to what the values mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace switchyard::test {

/// Equal seeds do equal damage.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  /// Uniform in [0, limit); 0 for a limit of 0.
  std::size_t draw(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  /// One change: bits, runs removed, repeated, moved or zeroed, a new end.
  void damage_bytes(std::string& bytes);
  /// One change to a node anywhere in the document: another value, a number beside or far from it, a key
  /// renamed or dropped, an element doubled, a part of the document in another's place.
  void damage_json(nlohmann::json& document);

 private:
  nlohmann::json* pick(nlohmann::json& document);
  nlohmann::json hostile_value();
  void change_number(nlohmann::json& node);
  void change_text(std::string& text);
  void change_members(nlohmann::json& node);

  std::mt19937_64 random_;
};

}  // namespace switchyard::test
