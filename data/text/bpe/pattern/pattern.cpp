#include "data/text/bpe/pattern/pattern.h"

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "kernels/runtime/check.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

/// Steps that one search may take. No pattern in use comes near it on a megabyte; one that is exponential
/// reaches it in about a second.
constexpr std::uint32_t kMaxSteps = 200'000'000;
constexpr std::uint32_t kMaxHeapKibibytes = 256U << 10;
constexpr std::size_t kMaxJitStackBytes = 32U << 20;

using Kind = PatternNode::Kind;

/// PCRE2's spelling of a node over letters.
class Writer {
 public:
  explicit Writer(const Alphabet& alphabet) : alphabet_(alphabet) {}

  std::string write(const PatternNode& node) {
    put(node);
    return std::move(text_);
  }

 private:
  void put_set(const LetterSet& letters) {
    if (letters.none()) {
      text_ += "(?!)";
      return;
    }
    text_ += '[';
    for (std::size_t letter = 0; letter < letters.size(); ++letter)
      if (letters[letter]) text_ += fmt::format("\\x{:02x}", letter);
    text_ += ']';
  }

  void put_all(const std::vector<PatternNode>& nodes, std::string_view between) {
    for (std::size_t at = 0; at < nodes.size(); ++at) {
      if (at > 0) text_ += between;
      put(nodes[at]);
    }
  }

  void put_repeat(const PatternNode& node) {
    // A bare class is matched in a loop; in a group, each turn would take memory.
    const bool is_bare = node.children[0].kind == Kind::set;
    text_ += is_bare ? "" : "(?:";
    put(node.children[0]);
    text_ += is_bare ? "" : ")";
    if (node.most == kNoLimit) {
      text_ += node.least == 0 ? "*" : node.least == 1 ? "+" : fmt::format("{{{},}}", node.least);
    } else {
      text_ += node.least == 0 && node.most == 1 ? "?" : fmt::format("{{{},{}}}", node.least, node.most);
    }
    if (node.greed == PatternNode::Greed::lazy) text_ += '?';
    if (node.greed == PatternNode::Greed::possessive) text_ += '+';
  }

  void put(const PatternNode& node) {
    switch (node.kind) {
      case Kind::set:
        return put_set(alphabet_.letters_of(node.set));
      case Kind::sequence:
        return put_all(node.children, "");
      case Kind::alternatives:
        text_ += "(?:";
        put_all(node.children, "|");
        text_ += ')';
        return;
      case Kind::repeat:
        return put_repeat(node);
      case Kind::look_ahead:
        text_ += node.is_negative ? "(?!" : "(?=";
        put(node.children[0]);
        text_ += ')';
    }
  }

  const Alphabet& alphabet_;
  std::string text_;
};

std::string message_of(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct PatternScratch::State {
  std::vector<std::uint8_t> letters;
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32U << 10, kMaxJitStackBytes, nullptr);

  State() {
    if (match == nullptr || context == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, kMaxSteps);
    pcre2_set_heap_limit(context, kMaxHeapKibibytes);
    if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(match);
  }
};

PatternScratch::PatternScratch() : state_(std::make_unique<State>()) {}
PatternScratch::~PatternScratch() = default;

struct Pattern::Code {
  pcre2_code* compiled = nullptr;
  bool is_jit = false;

  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(compiled); }
};

Pattern::Pattern(const ParsedPattern& parsed, std::string place)
    : place_(std::move(place)),
      alphabet_(parsed.sets, place_),
      joins_(joined_letters(parsed.root, alphabet_)),
      covered_(covered_letters(parsed.root, alphabet_)),
      code_(std::make_unique<Code>()) {
  const std::string text = Writer(alphabet_).write(parsed.root);
  int error = 0;
  std::size_t offset = 0;
  code_->compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NO_AUTO_CAPTURE, &error, &offset, nullptr);
  if (code_->compiled == nullptr)
    throw DataError(fmt::format("{}: the pattern is too large for PCRE2: {}", place_, message_of(error)));
  // Without a just-in-time compiler (some machines have none) the same matches are found more slowly.
  code_->is_jit = pcre2_jit_compile(code_->compiled, PCRE2_JIT_COMPLETE) == 0;
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

void Pattern::begin(std::string_view text, PatternScratch& scratch) const {
  alphabet_.translate(text, scratch.state_->letters);
}

bool Pattern::find(PatternScratch& scratch, std::size_t from, std::size_t& first, std::size_t& last) const {
  PatternScratch::State& state = *scratch.state_;
  if (from == state.letters.size()) return false;
  const auto run = code_->is_jit ? pcre2_jit_match : pcre2_match;
  const int found =
      run(code_->compiled, state.letters.data(), state.letters.size(), from, 0, state.match, state.context);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)
    throw DataError(
        fmt::format("{}: the pattern takes too long on this text: {}", place_, message_of(found)));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state.match);
  first = bounds[0];
  last = bounds[1];
  SWITCHYARD_CHECK(first >= from && last > first, "match [{}, {}) from {}", first, last, from);
  return true;
}

}  // namespace switchyard::data
