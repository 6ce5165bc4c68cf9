// The softmax of forward attention, block of keys by block of keys (Dao et al., 2022), in fp32.
#pragma once

#include "kernels/cpu/attention_blocks.h"

namespace switchyard::kernels {
namespace {

// The running softmax of one query.
struct Row {
  float largest;
  float total;
};

// Keys [begin, end) of a block.
struct KeyRange {
  std::int64_t begin;
  std::int64_t end;
  bool empty() const { return begin >= end; }
};

// Turns the scores of the range into weights relative to the row's largest score so far, and scales what the
// row has summed up to now to that. `first` is for the row's first block, where nothing has been summed yet.
// Lanes are those of the block, whatever the range: they decide the order of the sum.
inline void softmax_block(float* scores, KeyRange range, float scale, bool first, Row& row, float* out,
                          std::int64_t out_floats) {
  const Vec scales = Vec::broadcast(scale);
  const std::int64_t start = range.begin / Vec::kWidth * Vec::kWidth;
  const std::int64_t whole = range.end / Vec::kWidth * Vec::kWidth;
  for (std::int64_t c = start; c < range.begin; ++c) scores[c] = scores[range.begin];  // no new maximum
  float largest = first ? scores[range.begin] * scale : row.largest;
  if (whole > start) {
    Vec most = Vec::broadcast(largest);
    for (std::int64_t c = start; c < whole; c += Vec::kWidth) {
      const Vec s = Vec::load(scores + c) * scales;
      s.store(scores + c);
      most = max(most, s);
    }
    largest = max_lane(most);
  }
  for (std::int64_t c = whole; c < range.end; ++c) {
    scores[c] = scores[c] * scale;
    largest = largest > scores[c] ? largest : scores[c];
  }
  if (first) {
    row.total = 0;
  } else if (largest != row.largest) {
    const Vec shrink = exp(Vec::broadcast(row.largest - largest));
    row.total = row.total * max_lane(shrink);
    for (std::int64_t d = 0; d < out_floats; d += Vec::kWidth) (Vec::load(out + d) * shrink).store(out + d);
  }
  row.largest = largest;
  const Vec shift = Vec::broadcast(largest);
  Vec total = Vec::zero();
  // A vector that the range cuts: what lies outside weighs nothing.
  const auto add_cut_vector = [&](std::int64_t c) {
    exp(Vec::load(scores + c) - shift).store(scores + c);
    for (std::int64_t before = c; before < range.begin; ++before) scores[before] = 0;
    for (std::int64_t behind = range.end; behind < c + Vec::kWidth; ++behind) scores[behind] = 0;
    total = total + Vec::load(scores + c);
  };
  std::int64_t c = start;
  if (c < range.begin) {
    add_cut_vector(c);
    c += Vec::kWidth;
  }
  for (; c < whole; c += Vec::kWidth) {
    const Vec weights = exp(Vec::load(scores + c) - shift);
    weights.store(scores + c);
    total = total + weights;
  }
  if (c < range.end) add_cut_vector(c);
  row.total = row.total + sum(total);
}

/// `key`, counted from the start of a block, cut to the block.
inline std::int64_t within_block(std::int64_t key) {
  return key < 0 ? 0 : key < kKeysOfBlock ? key : kKeysOfBlock;
}

}  // namespace
}  // namespace switchyard::kernels
