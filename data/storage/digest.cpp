#include "data/storage/digest.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <charconv>

#include "kernels/runtime/error.h"

namespace switchyard::data {

std::string Digest::text() const {
  return fmt::format("{:016x}{:016x}", high, low);
}

Digest Digest::parse(std::string_view text) {
  Digest digest;
  const auto half = [&](std::string_view digits, std::uint64_t& value) {
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return result.ec == std::errc() && result.ptr == digits.data() + digits.size();
  };
  if (text.size() != 32 || !half(text.substr(0, 16), digest.high) || !half(text.substr(16), digest.low))
    throw DataError(fmt::format("a digest is 32 hexadecimal digits; got '{}'", text));
  return digest;
}

Digest digest_of(const void* bytes, std::size_t size) {
  const XXH128_hash_t hash = XXH3_128bits(bytes, size);
  return {hash.high64, hash.low64};
}

struct DigestStream::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> xxh{XXH3_createState()};
};

DigestStream::DigestStream() : state_(std::make_unique<State>()) {
  if (!state_->xxh || XXH3_128bits_reset(state_->xxh.get()) != XXH_OK)
    throw InternalError("internal: no memory for a digest");
}
DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::update(const void* bytes, std::size_t size) {
  if (size > 0) XXH3_128bits_update(state_->xxh.get(), bytes, size);
}

Digest DigestStream::finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh.get());
  return {hash.high64, hash.low64};
}

}  // namespace switchyard::data
