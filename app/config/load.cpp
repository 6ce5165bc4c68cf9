#include "app/config/load.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "app/config/assign.h"
#include "app/config/rules.h"
#include "app/config/source/yaml_tree.h"
#include "app/config/table/names.h"
#include "app/config/table/option.h"
#include "app/terminal/format.h"

namespace switchyard::app {

namespace {

using Kind = YamlNode::Kind;

/// Reads one tree and the overrides, collecting mistakes.
class Loader {
 public:
  void read_file(std::string_view text) {
    root_ = parse_yaml(text, mistakes_);
    if (root_ == nullptr) return;
    if (root_->kind != Kind::map) {
      mistakes_.push_back({root_->place, "", "a configuration is a map of sections", describe(*root_), ""});
      root_ = nullptr;  // what its keys lack is not the mistake
      return;
    }
    read_section(*root_, "");
  }

  void read_override(const std::string& text, int index) {
    const Place place{index, 0, 0};
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
      mistakes_.push_back({place, "", "must be section.key=value", printable(text), ""});
      return;
    }
    const std::string path = text.substr(0, equals);
    const Option* option = find_option(path);
    if (option == nullptr) {
      unknown(path, "", place);
      return;
    }
    const auto node = override_value(*option, text.substr(equals + 1), place);
    if (node != nullptr) assign(*option, *node, place);
  }

  Config finish(const std::string& source) {
    const bool readable = root_ != nullptr;
    if (readable) require_keys();
    resolve(config_);
    if (readable) check_rules();
    if (!mistakes_.empty()) throw ConfigError(source, std::move(mistakes_));
    return config_;
  }

 private:
  void read_section(const YamlNode& section, const std::string& prefix) {
    for (const YamlEntry& entry : section.entries) {
      const std::string path = prefix.empty() ? entry.key : prefix + "." + entry.key;
      const bool dotted = entry.key.find('.') != std::string::npos;
      if (!dotted && find_section(path) != nullptr) {
        given_[path] = entry.place;
        if (entry.value->kind == Kind::map)
          read_section(*entry.value, path);
        else if (entry.value->kind != Kind::empty)
          mistakes_.push_back(
              {entry.value->place, path, "is a section and must hold keys", describe(*entry.value), ""});
      } else if (const Option* option = dotted ? nullptr : find_option(path)) {
        assign(*option, *entry.value, entry.value->kind == Kind::empty ? entry.place : entry.value->place);
      } else {
        unknown(path, prefix, entry.place);
      }
    }
  }

  void assign(const Option& option, const YamlNode& node, Place place) {
    const std::string path(option.path);
    given_[path] = place;
    std::optional<Refusal> refusal;
    if (node.kind == Kind::empty)
      refusal = Refusal{"must have a value", "remove the key to get its default"};
    else
      refusal = app::assign(config_, option, node);
    if (!refusal) return;
    broken_.insert(path);
    mistakes_.push_back({place, path, refusal->rule, describe(node), refusal->hint});
  }

  void unknown(const std::string& path, const std::string& section, Place place) {
    Suggestion suggestion = suggest_key(path, section);
    // The misspelt key was meant to be given: rules that read it would only report what follows from this
    // mistake.
    if (!suggestion.path.empty()) broken_.insert(suggestion.path);
    mistakes_.push_back({place, printable(path, 100), suggestion.rule, "", suggestion.hint});
  }

  /// The node of an override's value: texts as they stand, lists as YAML, all else a plain word.
  std::shared_ptr<const YamlNode> override_value(const Option& option, const std::string& value,
                                                 Place place) {
    auto node = std::make_shared<YamlNode>();
    node->kind = value.empty() && !std::holds_alternative<Text>(option.kind) ? Kind::empty : Kind::scalar;
    node->text = value;
    if (!std::holds_alternative<IntegerList>(option.kind) || !value.starts_with('[')) return node;
    std::vector<Mistake> inside;
    auto list = parse_yaml(value, inside);
    if (inside.empty()) return list;
    mistakes_.push_back({place, std::string(option.path), inside[0].rule, printable(value), inside[0].hint});
    broken_.insert(std::string(option.path));
    return nullptr;
  }

  void require_keys() {
    for (const Option& option : options()) {
      const Text* text = std::get_if<Text>(&option.kind);
      const std::string path(option.path);
      if (text == nullptr || !text->required || given_.contains(path) || broken_.contains(path)) continue;
      mistakes_.push_back(
          {place_of(path), path, "must be given", "nothing", fmt::format("add the key: {}", option.doc)});
    }
  }

  void check_rules() {
    const KeyKnowledge keys{[this](std::string_view path) { return given_.contains(path); },
                            [this](std::string_view path) { return broken_.contains(path); },
                            [this](std::string_view path) { return place_of(path); }};
    for (Mistake& mistake : broken_rules(config_, keys)) mistakes_.push_back(std::move(mistake));
  }

  Place place_of(std::string_view path) const {
    for (; !path.empty(); path = parent_path(path))
      if (const auto found = given_.find(path); found != given_.end()) return found->second;
    return {0, 1, 1};
  }

  Config config_ = default_config();
  std::shared_ptr<const YamlNode> root_;
  std::vector<Mistake> mistakes_;
  std::map<std::string, Place, std::less<>> given_;
  std::set<std::string, std::less<>> broken_;
};

std::string read_text(const std::filesystem::path& file) {
  const auto closer = [](std::FILE* stream) { std::fclose(stream); };
  const std::unique_ptr<std::FILE, decltype(closer)> stream(std::fopen(file.c_str(), "rb"), closer);
  const auto refuse = [&](int code) {
    throw UserError(fmt::format("{}: the configuration file must be readable; got: {}; check the path",
                                printable(file.string(), 300), std::strerror(code)));
  };
  if (stream == nullptr) refuse(errno);
  // One byte over the limit is enough to know; an endless device is never read whole.
  std::string text(kMostFileBytes + 1, '\0');
  errno = 0;
  const std::size_t size = std::fread(text.data(), 1, text.size(), stream.get());
  if (std::ferror(stream.get()) != 0) refuse(errno);
  text.resize(size);
  return text;
}

}  // namespace

Config parse_config(std::string_view text, const std::string& source,
                    const std::vector<std::string>& overrides) {
  Loader loader;
  loader.read_file(text);
  for (std::size_t i = 0; i < overrides.size(); ++i)
    loader.read_override(overrides[i], static_cast<int>(i) + 1);
  return loader.finish(source);
}

Config load_config(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return parse_config(read_text(file), printable(file.string(), 300), overrides);
}

}  // namespace switchyard::app
