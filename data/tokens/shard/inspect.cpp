#include "data/tokens/shard/inspect.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/text/tokenizer.h"
#include "data/tokens/shard/manifest.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

const ShardEntry& entry_of(const TokenManifest& manifest, const std::filesystem::path& path) {
  for (const SplitEntry& split : manifest.splits)
    for (const ShardEntry& entry : split.shards)
      if (entry.file == path.filename().string()) return entry;
  throw DataError(fmt::format(
      "data: a shard must be named by the manifest beside it; got {}: a file of another origin is "
      "not opened, prepare its text with `switchyard prepare`",
      path.string()));
}

}  // namespace

ShardReport inspect_shard(const std::filesystem::path& path, std::uint64_t text_tokens) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const InputFile exists(path);  // a missing shard is named as such, before its manifest is
  const TokenManifest manifest = read_token_manifest(folder);
  ShardReport report;
  report.path = path;
  report.entry = entry_of(manifest, path);
  const ShardReader reader(folder, report.entry);
  report.layout = reader.layout();
  for (std::uint64_t block = 0; block < report.layout.num_blocks; ++block) {
    BlockReport state{block, reader.block_range(block), reader.block_digest(block), true, {}};
    try {
      reader.verify_block(block);
    } catch (const DataError& error) {
      state.is_intact = false;
      state.error = error.what();
      ++report.num_damaged_blocks;
    }
    report.blocks.push_back(std::move(state));
  }
  const auto tokenizer = tokenizer_from_json(manifest.tokenizer_json);
  const std::uint64_t count = std::min({text_tokens, reader.num_tokens(), kBlockBytes / 4});
  if (report.blocks.front().is_intact) {
    std::vector<std::int32_t> tokens(count);
    reader.tokens(0, count, tokens.data());
    report.first_text = tokenizer->decode(tokens);
  }
  return report;
}

}  // namespace switchyard::data
