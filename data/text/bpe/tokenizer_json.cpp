#include "data/text/bpe/tokenizer_json.h"

#include <fmt/format.h>

#include <set>
#include <unordered_set>

#include "data/text/bpe/byte_letters.h"
#include "data/text/bpe/json_reader.h"
#include "data/text/bpe/unicode/nfc.h"
#include "data/text/bpe/unicode/tables.h"
#include "data/text/utf8.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

/// A small file must not ask for large tables: ids stay below the first and the second times the tokens.
constexpr std::int64_t kGapIds = 1 << 18;
constexpr std::int64_t kGapIdsPerToken = 16;
constexpr std::size_t kMaxAddedTokens = 1U << 16;
constexpr std::size_t kMaxAddedBytes = 1024;  // of one added token
constexpr std::size_t kMaxStages = 16;
/// The expression inside ByteLevel with use_regex: the GPT-2 pattern.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Characters of a BPE vocabulary: every byte has its token, and pairs of tokens merge into tokens.
void read_vocabulary(const JsonPlace& vocab, BpeParts& parts) {
  if (!vocab.value().is_object() || vocab.size() == 0) vocab.refuse("must be an object of tokens and ids");
  const std::int64_t id_limit =
      std::min(kMaxTokenId, kGapIds + kGapIdsPerToken * static_cast<std::int64_t>(vocab.size()));
  for (const auto& item : vocab.value().items()) {
    const std::string& spelling = item.key();
    const nlohmann::json& id = item.value();
    // Made where there is something to refuse: paths of a hundred thousand tokens cost more than the rest.
    const auto place = [&] {
      return JsonPlace(id, fmt::format("{}[{}]", vocab.path(), nlohmann::json(spelling).dump()));
    };
    const bool is_id =
        id.is_number_unsigned() && id.get<std::uint64_t>() < static_cast<std::uint64_t>(id_limit);
    const auto index =
        static_cast<std::size_t>(is_id ? id.get<std::int64_t>() : place().integer_below(id_limit));
    if (spelling.empty()) place().refuse("a token must not be empty");
    if (index >= parts.spellings.size()) parts.spellings.resize(index + 1);
    if (!parts.spellings[index].empty()) place().refuse("every token must have an id of its own");
    parts.spellings[index] = spelling;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(byte);
    const std::string letter = spelling_of_bytes({&raw, 1});
    const auto found = vocab.value().find(letter);
    if (found == vocab.value().end())
      vocab.refuse(
          fmt::format("must have all 256 bytes of a byte-level vocabulary; byte 0x{:02x}, spelled '{}', "
                      "is missing",
                      byte, letter));
    parts.byte_tokens[byte] = found->get<std::int32_t>();
  }
}

class MergeReader {
 public:
  MergeReader(const JsonPlace& merges, const JsonPlace& vocab) : merges_(merges), vocab_(vocab) {}

  std::vector<Merge> read() {
    merges_.require_array();
    std::vector<Merge> found;
    std::unordered_set<std::uint64_t> pairs;
    for (std::size_t index = 0; index < merges_.size(); ++index) {
      const nlohmann::json& value = merges_.value()[index];
      if (value.is_string() != merges_.value()[0].is_string())
        merges_.at(index).refuse("all merges must be spelled alike, as \"a b\" or as [\"a\", \"b\"]");
      std::string left, right;
      if (value.is_string()) {
        const auto& text = value.get_ref<const std::string&>();
        if (text.starts_with("#version"))
          continue;  // the head of a merges.txt, passed over by the package too
        const std::size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
          merges_.at(index).refuse("must be two tokens with one space between");
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else {
        const JsonPlace pair = merges_.at(index);
        pair.require_array();
        if (pair.size() != 2) pair.refuse("must be a pair of tokens");
        left = pair.at(std::size_t{0}).text();
        right = pair.at(std::size_t{1}).text();
      }
      const Merge merge{id_of(index, left), id_of(index, right), id_of(index, left + right)};
      const std::uint64_t key =
          static_cast<std::uint64_t>(merge.left) << 32U | static_cast<std::uint32_t>(merge.right);
      if (!pairs.insert(key).second) merges_.at(index).refuse("a pair must not appear twice");
      found.push_back(merge);
    }
    return found;
  }

 private:
  std::int32_t id_of(std::size_t index, const std::string& token) const {
    const auto found = vocab_.value().find(token);
    if (token.empty() || found == vocab_.value().end())
      merges_.at(index).refuse(fmt::format("both tokens and their joint must be in the vocabulary; {} is not",
                                           nlohmann::json(token).dump()));
    return found->get<std::int32_t>();
  }

  const JsonPlace& merges_;
  const JsonPlace& vocab_;
};

void require_absent_or_empty(const JsonPlace& model, const char* key) {
  if (!model.has(key) || model.at(key).is_null()) return;
  if (!model.at(key).text().empty())
    model.at(key).refuse("must be null or empty: byte-level models have none");
}

void read_model(const JsonPlace& model, BpeParts& parts) {
  model.require_keys({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                      "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (model.has("type") && model.at("type").text() != "BPE")
    model.at("type").refuse("only BPE models are supported");
  if (model.has("dropout") && !model.at("dropout").is_null() && model.at("dropout").value() != 0)
    model.at("dropout").refuse("must be null or 0: ids would differ from time to time");
  require_absent_or_empty(model, "continuing_subword_prefix");
  require_absent_or_empty(model, "end_of_word_suffix");
  if (model.boolean_or("byte_fallback", false))
    model.at("byte_fallback").refuse("must be false: byte-level vocabularies have all bytes");
  // With a token for every byte nothing is ever unknown, so these two say nothing.
  if (model.has("unk_token") && !model.at("unk_token").is_null()) model.at("unk_token").text();
  model.boolean_or("fuse_unk", false);
  parts.ignore_merges = model.boolean_or("ignore_merges", false);
  const JsonPlace vocab = model.at("vocab"), merges = model.at("merges");
  read_vocabulary(vocab, parts);
  parts.merges = MergeReader(merges, vocab).read();
  if (!parts.ignore_merges) return;
  for (const auto& [spelling, id] : vocab.value().items())
    if (auto bytes = bytes_of_spelling(spelling))
      parts.whole_pieces.emplace_back(std::move(*bytes), id.get<std::int32_t>());
}

void read_normalizer(const JsonPlace& normalizer, BpeParts& parts) {
  if (normalizer.is_null()) return;
  const std::string& type = normalizer.at("type").text();
  if (type == "NFC") {
    normalizer.require_keys({"type"});
    parts.use_nfc = true;
  } else if (type == "Sequence") {
    normalizer.require_keys({"type", "normalizers"});
    const JsonPlace list = normalizer.at("normalizers");
    list.require_array();
    for (std::size_t index = 0; index < list.size(); ++index) read_normalizer(list.at(index), parts);
  } else {
    normalizer.at("type").refuse("the normalizer must be null, NFC or a Sequence of them");
  }
}

class PreTokenizerReader {
 public:
  explicit PreTokenizerReader(BpeParts& parts) : parts_(parts) {}

  void read(const JsonPlace& place) {
    if (place.is_null()) return;
    const std::string& type = place.at("type").text();
    if (has_byte_level_) place.refuse("ByteLevel must be the last pre-tokenizer");
    if (type == "Sequence") {
      place.require_keys({"type", "pretokenizers"});
      const JsonPlace list = place.at("pretokenizers");
      list.require_array();
      for (std::size_t index = 0; index < list.size(); ++index) read(list.at(index));
    } else if (type == "ByteLevel") {
      read_byte_level(place);
    } else if (type == "Split") {
      read_split(place);
    } else if (type == "Digits") {
      place.require_keys({"type", "individual_digits"});
      const bool is_single = place.at("individual_digits").boolean();
      add({Pattern(set_pattern(CodePointSet(numeric())), place.path()),
           is_single ? SplitBehavior::isolated : SplitBehavior::contiguous, false},
          place);
    } else {
      place.at("type").refuse("the pre-tokenizer must be ByteLevel, Split, Digits or a Sequence of them");
    }
  }

  bool has_byte_level() const { return has_byte_level_; }

 private:
  void add(SplitStage stage, const JsonPlace& place) {
    if (parts_.stages.size() == kMaxStages)
      place.refuse(fmt::format("there may be at most {} pre-tokenizers", kMaxStages));
    parts_.stages.push_back(std::move(stage));
  }

  void read_byte_level(const JsonPlace& place) {
    place.require_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    place.boolean_or("trim_offsets", true);  // places in the text only
    has_byte_level_ = true;
    parts_.add_prefix_space = place.at("add_prefix_space").boolean();
    parts_.prefixed_stage = parts_.stages.size();
    if (place.boolean_or("use_regex", true))
      add({Pattern(parse_pattern(kByteLevelPattern, place.path()), place.path()), SplitBehavior::isolated,
           false},
          place);
  }

  void read_split(const JsonPlace& place) {
    place.require_keys({"type", "pattern", "behavior", "invert"});
    const JsonPlace pattern = place.at("pattern");
    pattern.require_keys({"Regex", "String"});
    if (pattern.size() != 1) pattern.refuse("must be either a Regex or a String");
    const JsonPlace text = pattern.at(pattern.has("Regex") ? "Regex" : "String");
    const ParsedPattern parsed = pattern.has("Regex") ? parse_pattern(text.text(), text.path())
                                                      : literal_pattern(text.text(), text.path());
    add({Pattern(parsed, text.path()), behavior(place.at("behavior")), place.at("invert").boolean()}, place);
  }

  static SplitBehavior behavior(const JsonPlace& place) {
    const std::string& name = place.text();
    if (name == "Removed") return SplitBehavior::removed;
    if (name == "Isolated") return SplitBehavior::isolated;
    if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
    if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
    if (name == "Contiguous") return SplitBehavior::contiguous;
    place.refuse("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
  }

  BpeParts& parts_;
  bool has_byte_level_ = false;
};

/// The package takes the id from the vocabulary, or the next free one, whatever the file says; so a file that
/// says otherwise means other ids to others.
void read_added_tokens(const JsonPlace& list, const JsonPlace& vocab, BpeParts& parts) {
  if (list.is_null()) return;
  list.require_array();
  if (list.size() > kMaxAddedTokens) list.refuse(fmt::format("at most {} added tokens", kMaxAddedTokens));
  std::int64_t next_id = static_cast<std::int64_t>(vocab.size());
  std::set<std::pair<bool, std::string>> found;
  for (std::size_t index = 0; index < list.size(); ++index) {
    const JsonPlace place = list.at(index);
    place.require_keys({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token;
    token.content = place.at("content").text();
    token.single_word = place.at("single_word").boolean();
    token.lstrip = place.at("lstrip").boolean();
    token.rstrip = place.at("rstrip").boolean();
    token.normalized = place.at("normalized").boolean();
    token.special = place.at("special").boolean();
    if (token.content.empty() || token.content.size() > kMaxAddedBytes)
      place.at("content").refuse(fmt::format("must have 1 to {} bytes", kMaxAddedBytes));
    const auto known = vocab.value().find(token.content);
    const std::int64_t id = known == vocab.value().end() ? next_id++ : known->get<std::int64_t>();
    if (place.at("id").integer_below(kMaxTokenId) != id)
      place.at("id").refuse(fmt::format("must be {}, the id the package gives to this token", id));
    token.id = static_cast<std::int32_t>(id);
    if (token.normalized && parts.use_nfc) token.content = normalize_nfc(token.content);
    if (!found.insert({token.normalized, token.content}).second ||
        !found.insert({!token.normalized, token.content}).second)
      place.at("content").refuse("no two added tokens may be alike");
    if (static_cast<std::size_t>(id) >= parts.spellings.size())
      parts.spellings.resize(static_cast<std::size_t>(id) + 1);
    std::string& spelling = parts.spellings[static_cast<std::size_t>(id)];
    if (known == vocab.value().end() && !spelling.empty())
      place.at("id").refuse("the id belongs to another token of the vocabulary");
    spelling = token.content;
    parts.added.push_back(std::move(token));
  }
}

void check_decoder(const JsonPlace& decoder) {
  if (decoder.is_null() || decoder.at("type").text() != "ByteLevel")
    decoder.refuse("the decoder must be ByteLevel");
  decoder.require_keys(
      {"type", "add_prefix_space", "trim_offsets", "use_regex"});  // none changes what it writes
}

/// Post-processors add tokens around a text only where special tokens are asked for, which encode() never
/// does.
void check_post_processor(const JsonPlace& processor) {
  if (processor.is_null()) return;
  const std::string& type = processor.at("type").text();
  if (type == "Sequence") {
    const JsonPlace list = processor.at("processors");
    list.require_array();
    for (std::size_t index = 0; index < list.size(); ++index) check_post_processor(list.at(index));
  } else if (type != "ByteLevel" && type != "TemplateProcessing") {
    processor.at("type").refuse(
        "the post-processor must be ByteLevel, TemplateProcessing or a Sequence of them");
  }
}

void require_null(const JsonPlace& root, const char* key, const char* why) {
  if (root.has(key) && !root.at(key).is_null()) root.at(key).refuse(fmt::format("must be null: {}", why));
}

}  // namespace

BpeParts read_bpe_parts(const nlohmann::json& document, const std::string& place) {
  const JsonPlace root(document, place);
  root.require_keys({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                     "post_processor", "decoder", "model"});
  if (root.has("version") && root.at("version").text() != "1.0") root.at("version").refuse("must be \"1.0\"");
  require_null(root, "truncation", "it would cut documents");
  require_null(root, "padding", "it would add tokens to documents");
  BpeParts parts;
  read_model(root.at("model"), parts);
  if (root.has("normalizer")) read_normalizer(root.at("normalizer"), parts);
  if (root.has("added_tokens"))
    read_added_tokens(root.at("added_tokens"), root.at("model").at("vocab"), parts);
  PreTokenizerReader pre_tokenizer(parts);
  pre_tokenizer.read(root.at("pre_tokenizer"));
  if (!pre_tokenizer.has_byte_level())
    root.at("pre_tokenizer").refuse("must end in ByteLevel: only byte-level models are supported");
  check_decoder(root.at("decoder"));
  if (root.has("post_processor")) check_post_processor(root.at("post_processor"));
  return parts;
}

}  // namespace switchyard::data
