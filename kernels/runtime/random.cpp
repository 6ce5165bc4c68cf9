#include "kernels/runtime/random.h"

#include <cmath>
#include <numbers>

namespace switchyard::kernels {

namespace {
constexpr std::uint32_t kMultiplier0 = 0xD2511F53U;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57U;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;
constexpr int kRounds = 10;

// FNV-1a over the text, then mixed with the seed by the finaliser of SplitMix64.
std::uint64_t stream_key(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : purpose) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::uint64_t z = hash + (seed + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
}  // namespace

RandomStream::RandomStream(std::uint64_t seed, std::string_view purpose) : key(stream_key(seed, purpose)) {}

std::array<std::uint32_t, 4> RandomStream::words(std::uint64_t index, std::uint64_t second) const {
  std::array<std::uint32_t, 4> c = {
      static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
      static_cast<std::uint32_t>(second), static_cast<std::uint32_t>(second >> 32)};
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(kMultiplier0) * c[0];
    const std::uint64_t p1 = static_cast<std::uint64_t>(kMultiplier1) * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return c;
}

double RandomStream::uniform(std::uint64_t index, std::uint64_t second) const {
  const auto w = words(index, second);
  const std::uint64_t bits = (static_cast<std::uint64_t>(w[0]) << 21) ^ (w[1] & 0x1fffffU);
  return static_cast<double>(bits) * 0x1p-53;
}

void fill_normal(TensorView out, const RandomStream& stream, std::uint64_t first_index,
                 double standard_deviation) {
  auto* values = out.data<float>();
  const std::int64_t count = out.elements();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t index = first_index + static_cast<std::uint64_t>(i);
    const auto w = stream.words(index >> 1);  // one counter serves the two normals of a Box-Muller pair
    const double u1 =
        (static_cast<double>((static_cast<std::uint64_t>(w[0]) << 21) ^ (w[1] & 0x1fffffU)) + 1.0) * 0x1p-53;
    const double u2 =
        static_cast<double>((static_cast<std::uint64_t>(w[2]) << 21) ^ (w[3] & 0x1fffffU)) * 0x1p-53;
    const double radius = std::sqrt(-2.0 * std::log(u1));
    const double angle = 2.0 * std::numbers::pi * u2;
    const double z = radius * ((index & 1) == 0 ? std::cos(angle) : std::sin(angle));
    values[i] = static_cast<float>(standard_deviation * z);
  }
}

}  // namespace switchyard::kernels
