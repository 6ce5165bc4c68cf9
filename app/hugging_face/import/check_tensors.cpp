#include "app/hugging_face/import/check_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "app/hugging_face/tensors/element_format.h"
#include "app/terminal/format.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

constexpr std::size_t kMostLines = 20;
constexpr std::string_view kHead = "lm_head.weight", kEmbedding = "model.embed_tokens.weight";

bool has_same_bytes(ModelFolder& folder, const ModelFolder::Tensor& a, const ModelFolder::Tensor& b) {
  constexpr std::int64_t kPiece = 1 << 20;
  const std::int64_t size = a.end - a.begin;
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  std::vector<char> left(kPiece), right(kPiece);
  for (std::int64_t at = 0; at < size; at += kPiece) {
    const auto count = static_cast<std::size_t>(std::min(kPiece, size - at));
    folder.read(a, at, left.data(), count);
    folder.read(b, at, right.data(), count);
    if (std::memcmp(left.data(), right.data(), count) != 0) return false;
  }
  return true;
}

std::string problem_of(const TensorPiece& piece, const ModelFolder::Tensor& tensor) {
  if (tensor.shape != piece.shape)
    return fmt::format("{}: must have the shape [{}]; got [{}]", piece.name, fmt::join(piece.shape, ", "),
                       fmt::join(tensor.shape, ", "));
  if (!element_format(tensor.dtype))
    return fmt::format("{}: must be of dtype F32, BF16 or F16; got {}", piece.name, tensor.dtype);
  return {};
}

}  // namespace

void check_tensors(ModelFolder& folder, const std::vector<TensorPiece>& pieces, bool is_tied) {
  std::vector<std::string> problems;
  std::unordered_set<std::string_view> expected;
  for (const TensorPiece& piece : pieces) {
    expected.insert(piece.name);
    const auto found = folder.tensors().find(piece.name);
    std::string problem = found == folder.tensors().end() ? fmt::format("{}: is missing", piece.name)
                                                          : problem_of(piece, found->second);
    if (!problem.empty()) problems.push_back(std::move(problem));
  }
  for (const auto& [name, tensor] : folder.tensors()) {
    if (expected.count(name) != 0 || name.ends_with(".rotary_emb.inv_freq")) continue;
    const auto embedding = folder.tensors().find(kEmbedding);
    const bool is_head = is_tied && name == kHead && embedding != folder.tensors().end();
    if (is_head && has_same_bytes(folder, tensor, embedding->second)) continue;
    problems.push_back(fmt::format("{}: {}", printable(name, 200),
                                   is_head
                                       ? "must equal the embedding, since config.json has tie_word_embeddings"
                                       : "the model of config.json has no place for it"));
  }
  if (problems.empty()) return;
  const std::size_t count = problems.size();
  problems.resize(std::min(count, kMostLines));
  if (count > kMostLines) problems.push_back(fmt::format("and {} more", count - kMostLines));
  throw DataError(fmt::format("{}: {} tensor(s) are not those of config.json:\n  {}", folder.path().string(),
                              count, fmt::join(problems, "\n  ")));
}

}  // namespace switchyard::app
