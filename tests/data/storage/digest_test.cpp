#include "data/storage/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "kernels/runtime/error.h"

namespace switchyard::data {
namespace {

TEST(Digest, EqualsThePublishedDigestOfNothing) {
  // XXH3-128 of no bytes with seed 0, from the xxHash specification's reference program.
  EXPECT_EQ(digest_of(nullptr, 0).text(), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, DoesNotDependOnThePieces) {
  std::string bytes(5000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 131 >> 3);
  DigestStream stream;
  for (std::size_t at = 0, step = 1; at < bytes.size(); at += step, step = step * 2 + 1)
    stream.update(bytes.data() + at, std::min(step, bytes.size() - at));
  EXPECT_EQ(stream.finish(), digest_of(bytes.data(), bytes.size()));
}

TEST(Digest, TextIsReadBackAndNothingElseIs) {
  const Digest digest{0x0123456789abcdefULL, 0x00000000000000ffULL};
  EXPECT_EQ(digest.text(), "0123456789abcdef00000000000000ff");
  EXPECT_EQ(Digest::parse(digest.text()), digest);
  for (const char* text : {"", "0", "0123456789abcdef00000000000000fg", "0123456789abcdef00000000000000ff0",
                           "-123456789abcdef00000000000000ff", "0x23456789abcdef00000000000000ff"})
    EXPECT_THROW(Digest::parse(text), DataError) << text;
}

}  // namespace
}  // namespace switchyard::data
