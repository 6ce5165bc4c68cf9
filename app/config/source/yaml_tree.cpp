#include "app/config/source/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "app/config/source/text_check.h"
#include "app/terminal/format.h"

namespace switchyard::app {

namespace {

Place place_of(const YAML::Mark& mark) {
  return {0, mark.line + 1, mark.column + 1};
}

/// Ends reading; holds the mistake that made it impossible.
struct Unreadable {
  Mistake mistake;
};

[[noreturn]] void stop(Place place, std::string rule, std::string got = "", std::string hint = "") {
  throw Unreadable{{place, "", std::move(rule), std::move(got), std::move(hint)}};
}

/// Builds the tree from events and holds it to the limits.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, std::vector<Mistake>& mistakes) : text_(text), mistakes_(mistakes) {}

  std::shared_ptr<YamlNode> root() const { return root_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1)
      stop(place_of(mark), "a configuration is one YAML document", "a second one",
           "remove everything from '---' on");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(YamlNode::Kind::empty, mark), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    if (found == anchored_.end()) stop(place_of(mark), "an alias must not stand inside the value it names");
    alias_nodes_ += found->second->nodes;
    if (alias_nodes_ > kMostAliasNodes)
      stop(place_of(mark), fmt::format("aliases may stand for at most {} values in all", kMostAliasNodes),
           "more", "write the values out");
    add(found->second, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(YamlNode::Kind::scalar, mark);
    refuse_tag(mark, tag);
    node->text = value;
    node->quoted = tag == "!";
    add(node, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(YamlNode::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(YamlNode::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A sequence or map whose end has not come yet.
  struct Open {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor = 0;
    std::shared_ptr<const YamlNode> key;  ///< map: the key whose value comes next
    std::set<std::string> keys;
  };

  std::shared_ptr<YamlNode> make(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (++nodes_ > kMostNodes)
      stop(place_of(mark), fmt::format("a configuration holds at most {} values", kMostNodes), "more");
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->place = place_of(mark);
    return node;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    const auto at = static_cast<std::size_t>(mark.pos);
    const bool bare = tag == "!" && at < text_.size() && text_[at] == '!';
    if (!bare && (tag.empty() || tag == "?" || tag == "!")) return;
    mistakes_.push_back(
        {place_of(mark), "", "tags are not allowed", printable(tag), "remove the word that starts with '!'"});
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (open_.size() >= kMostDepth)
      stop(place_of(mark), fmt::format("values may be nested at most {} deep", kMostDepth), "more");
    auto node = make(kind, mark);
    refuse_tag(mark, tag);
    open_.push_back({node, anchor, nullptr, {}});
  }

  void close() {
    const Open done = std::move(open_.back());
    open_.pop_back();
    add(done.node, done.anchor);
  }

  void add(const std::shared_ptr<YamlNode>& node, YAML::anchor_t anchor) {
    if (anchor != 0) anchored_[anchor] = node;
    if (open_.empty()) {
      root_ = node;
      return;
    }
    Open& parent = open_.back();
    parent.node->nodes += node->nodes;
    if (parent.node->kind == YamlNode::Kind::sequence) {
      parent.node->items.push_back(node);
    } else if (parent.key == nullptr) {
      parent.key = node;
    } else {
      add_entry(parent, node);
      parent.key = nullptr;
    }
  }

  void add_entry(Open& parent, const std::shared_ptr<YamlNode>& value) {
    const YamlNode& key = *parent.key;
    if (key.kind != YamlNode::Kind::scalar) {
      mistakes_.push_back({key.place, "", "a key must be a word", describe(key), ""});
    } else if (key.text == "<<" && !key.quoted) {
      mistakes_.push_back({key.place, "<<", "merge keys are not supported", "", "write the keys out"});
    } else if (!parent.keys.insert(key.text).second) {
      mistakes_.push_back({key.place, printable(key.text), "is given twice in one section", "a second value",
                           "remove one of the two"});
    } else {
      parent.node->entries.push_back({key.text, key.place, value});
    }
  }

  std::string_view text_;
  std::vector<Mistake>& mistakes_;
  std::shared_ptr<YamlNode> root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, std::shared_ptr<YamlNode>> anchored_;  ///< complete nodes only
  std::size_t nodes_ = 0;
  std::size_t alias_nodes_ = 0;
  int documents_ = 0;
};

/// yaml-cpp complains about something else where a tab indents a line.
std::string tab_hint(std::string_view text, int line) {
  for (; line > 1; --line) text.remove_prefix(std::min(text.find('\n') + 1, text.size()));
  const std::size_t first = text.find_first_not_of(' ');
  const bool tab = first != std::string_view::npos && text[first] == '\t';
  return tab ? "indent with spaces, not tabs" : "";
}

std::string_view without_byte_order_mark(std::string_view text) {
  return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

/// The rest after the first document may hold another one; anything the parser finds there is a mistake.
void parse_all(std::string_view text, TreeBuilder& builder) {
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  while (parser.HandleNextDocument(builder)) {
  }
}

}  // namespace

std::shared_ptr<const YamlNode> parse_yaml(std::string_view text, std::vector<Mistake>& mistakes) {
  if (text.size() > kMostFileBytes) {
    mistakes.push_back({{}, "", fmt::format("must be at most {}", format_bytes(kMostFileBytes)), "more", ""});
    return nullptr;
  }
  text = without_byte_order_mark(text);
  if (auto bad = first_bad_byte(text)) {
    mistakes.push_back(*bad);
    return nullptr;
  }
  TreeBuilder builder(text, mistakes);
  try {
    parse_all(text, builder);
  } catch (const Unreadable& unreadable) {
    mistakes.push_back(unreadable.mistake);
    return nullptr;
  } catch (const YAML::Exception& error) {
    const Place place = error.mark.is_null() ? Place{} : place_of(error.mark);
    mistakes.push_back(
        {place, "", "must be valid YAML", printable(error.msg, 200), tab_hint(text, place.line)});
    return nullptr;
  }
  if (builder.root() != nullptr && builder.root()->kind != YamlNode::Kind::empty) return builder.root();
  auto nothing = std::make_shared<YamlNode>();
  nothing->kind = YamlNode::Kind::map;
  nothing->place = {0, 1, 1};
  return nothing;
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::empty:
      return "nothing";
    case YamlNode::Kind::sequence:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
    case YamlNode::Kind::scalar:
      break;
  }
  if (node.text.empty()) return "an empty text";
  return node.quoted ? fmt::format("\"{}\" in quotes", printable(node.text)) : printable(node.text);
}

}  // namespace switchyard::app
