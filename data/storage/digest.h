// XXH3-128 digests of bytes: what every file of ours is checked against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace switchyard::data {

struct Digest {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool operator==(const Digest&) const = default;
  /// 32 lower-case hexadecimal digits, high half first.
  std::string text() const;
  /// Inverse of text(); throws DataError unless given exactly 32 hexadecimal digits.
  static Digest parse(std::string_view text);
};

/// Digest of one run of bytes.
Digest digest_of(const void* bytes, std::size_t size);

/// Digest of bytes that arrive in pieces; equal to digest_of their concatenation.
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;
  void update(const void* bytes, std::size_t size);
  Digest finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace switchyard::data
