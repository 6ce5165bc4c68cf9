// Which documents are held out for validation: decided from (seed, fraction, sizes) alone, before anything is
// written.
//
//   1. A document of more bytes than fraction * (all bytes) is divided: about its last `fraction` is held
//   out, from the
//      next line start on, as a document of its own. So a single file, or a few huge ones, still give both
//      splits their share.
//   2. Every other document is held out if a hash of (seed, its index in the input) falls below the fraction.
//   3. Should 1 and 2 hold out nothing, the document with the lowest hash is; should they hold out
//   everything, the one
//      with the highest stays.
// An index counts the non-empty files and the JSONL lines with more than blanks, in input order.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace switchyard::data {

enum class Placement { train, validation, divided };

class HeldOutRule {
 public:
  /// `fraction` in [0, 0.5]; 0 holds out nothing.
  HeldOutRule(double fraction, std::uint64_t seed, std::uint64_t total_bytes);

  /// To be told of every document once, before the first place().
  void observe(std::uint64_t index, std::uint64_t bytes);
  Placement place(std::uint64_t index, std::uint64_t bytes) const;
  double fraction() const { return fraction_; }

 private:
  double hash(std::uint64_t index) const;
  Placement by_hash(std::uint64_t index, std::uint64_t bytes) const;

  double fraction_;
  std::uint64_t seed_;
  std::uint64_t total_bytes_;
  bool has_train_ = false;
  bool has_validation_ = false;
  std::uint64_t lowest_ = 0;  // index of the document with the lowest hash so far
  std::uint64_t highest_ = 0;
  double lowest_hash_ = 2;
  double highest_hash_ = -1;
};

/// Where a divided document of `bytes` bytes is cut: after the first line end in the 4 KiB behind its last
/// `fraction`, else at a character. `read(offset, count)` gives its bytes. 0 if the document is one
/// character.
std::uint64_t dividing_point(std::uint64_t bytes, double fraction,
                             const std::function<std::string(std::uint64_t, std::uint64_t)>& read);

}  // namespace switchyard::data
