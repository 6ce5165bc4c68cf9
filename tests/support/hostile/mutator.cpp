#include "tests/support/hostile/mutator.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace switchyard::test {

using nlohmann::json;

void Mutator::damage_bytes(std::string& bytes) {
  const std::size_t at = draw(bytes.size());
  const std::size_t run = std::min(bytes.size() - at, 1 + draw(64));
  switch (draw(8)) {
    case 0:
      if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << draw(8)));
      break;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<char>(draw(256));
      break;
    case 2:
      bytes.erase(at, run);
      break;
    case 3:
      bytes.insert(at, bytes.substr(draw(bytes.size()), run));
      break;
    case 4:
      bytes.replace(at, run, std::string(run, '\0'));
      break;
    case 5:
      bytes.resize(at);
      break;
    case 6:
      bytes.append(1 + draw(64), static_cast<char>(draw(256)));
      break;
    default:
      bytes.replace(at, run, bytes.substr(draw(bytes.size()), 1 + draw(64)));
  }
}

json* Mutator::pick(json& document) {
  json* node = &document;
  // Stops on the way down, so that inner nodes have their turn as well.
  while (node->is_structured() && !node->empty() && draw(8) != 0)
    node = &*std::next(node->begin(), static_cast<std::ptrdiff_t>(draw(node->size())));
  return node;
}

json Mutator::hostile_value() {
  switch (draw(16)) {
    case 0:
      return nullptr;
    case 1:
      return draw(2) == 0;
    case 2:
      return 0;
    case 3:
      return -1;
    case 4:
      return std::numeric_limits<std::int64_t>::max();
    case 5:
      return std::numeric_limits<std::int64_t>::min();
    case 6:
      return std::numeric_limits<std::uint64_t>::max();
    case 7:
      return std::uint64_t{1} << (8 + draw(56));
    case 8:
      return 1e308;
    case 9:
      return 0.5;
    case 10:
      return "";
    case 11:
      return std::string(1 + draw(3000), 'x');
    case 12:
      return json::array();
    case 13:
      return json::object();
    case 14: {
      json nest = 1;
      for (std::size_t depth = 1 + draw(60); depth > 0; --depth) nest = json::array({nest});
      return nest;
    }
    default:
      return std::string("\0/../\xc4\xa0", 7);
  }
}

void Mutator::change_number(json& node) {
  if (!node.is_number_integer()) {
    const std::array<double, 6> values = {0, -node.get<double>(), node.get<double>() * 2, 1e-300, 1e300, 1};
    node = values[draw(values.size())];
    return;
  }
  const std::uint64_t value = node.is_number_unsigned()
                                  ? node.get<std::uint64_t>()
                                  : static_cast<std::uint64_t>(node.get<std::int64_t>());
  const std::array<std::uint64_t, 6> values = {
      value + 1, value - 1, value * 2, value / 2, value ^ std::uint64_t{1} << draw(64), draw(64)};
  node = static_cast<std::int64_t>(values[draw(values.size())]);
}

void Mutator::change_text(std::string& text) {
  const std::size_t at = draw(text.size());
  switch (draw(5)) {
    case 0:
      if (!text.empty() && static_cast<unsigned char>(text[at]) < 128)
        text[at] = static_cast<char>(1 + draw(127));
      break;
    case 1:
      text.insert(text.begin(), static_cast<char>(draw(128)));
      break;
    case 2:
      text += text;
      break;
    case 3:
      text += static_cast<char>(draw(128));
      break;
    default:
      while (!text.empty() && static_cast<unsigned char>(text.back()) >= 128) text.pop_back();
      if (!text.empty()) text.pop_back();
  }
}

void Mutator::change_members(json& node) {
  if (node.empty()) {
    if (node.is_array())
      node.push_back(hostile_value());
    else
      node["new"] = hostile_value();
    return;
  }
  const auto at = std::next(node.begin(), static_cast<std::ptrdiff_t>(draw(node.size())));
  const json value = *at;
  if (node.is_array()) {
    const auto copy = std::next(node.begin(), static_cast<std::ptrdiff_t>(draw(node.size())));
    switch (draw(3)) {
      case 0:
        node.erase(at);
        break;
      case 1:
        node.insert(copy, value);
        break;
      default:
        std::iter_swap(at, copy);
    }
    return;
  }
  std::string key = at.key();
  const std::size_t way = draw(3);
  if (way != 2) node.erase(at);
  if (way == 0) return;
  change_text(key);
  node[key] = value;
}

void Mutator::damage_json(json& document) {
  json* node = pick(document);
  switch (draw(4)) {
    case 0:
      *node = hostile_value();
      break;
    case 1: {
      json part = *pick(document);  // a copy: it may hold the node
      *node = std::move(part);
      break;
    }
    default:
      if (node->is_structured()) {
        change_members(*node);
      } else if (node->is_number()) {
        change_number(*node);
      } else if (node->is_string()) {
        change_text(node->get_ref<std::string&>());
      } else {
        *node = hostile_value();
      }
  }
}

}  // namespace switchyard::test
