#include "app/drills/drill.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ranges>
#include <vector>

#include "app/terminal/format.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using kernels::Phase;
using kernels::Site;
using parallel::Collective;

struct Kind {
  std::string_view name;
  std::string_view keys;  ///< beside rank and step
};
constexpr std::array<Kind, kDrillKinds> kKinds = {{{"kill", "phase layer"},
                                                   {"crash", "phase layer"},
                                                   {"abort", "phase layer"},
                                                   {"leave", "phase layer"},
                                                   {"stop", "phase layer"},
                                                   {"hang", "phase layer"},
                                                   {"slow", "speed"},
                                                   {"error", "phase layer"},
                                                   {"term", "phase layer"},
                                                   {"nan", "site layer"},
                                                   {"flip", "site"},
                                                   {"disk", "errno"}}};

struct ErrorName {
  std::string_view name;
  int number;
};
constexpr std::array<ErrorName, 4> kErrors = {
    {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}}};

[[noreturn]] void refuse(const std::string& text, const std::string& rule) {
  throw UserError(
      fmt::format("--inject {}: {}; the form is KIND@rank=1,step=5,phase=forward (see `switchyard train "
                  "--help`)",
                  printable(text, 120), rule));
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> phase_names() {
  std::vector<std::string_view> names;
  for (int i = 0; i < kernels::kPhases; ++i) names.push_back(phase_name(static_cast<Phase>(i)));
  for (int i = 0; i < parallel::kCollectives; ++i)
    names.push_back(parallel::collective_name(static_cast<Collective>(i)));
  return names;
}

bool is_state(Site site) {
  return site == Site::weights || site == Site::moments;
}

std::vector<std::string_view> site_names(DrillKind kind) {
  std::vector<std::string_view> names;
  for (int i = 0; i < kernels::kSites; ++i)
    if (is_state(static_cast<Site>(i)) == (kind == DrillKind::flip))
      names.push_back(site_name(static_cast<Site>(i)));
  return names;
}

// One value of a drill, with the whole text for messages.
struct Value {
  const std::string& all;
  std::string_view key, text;

  std::int64_t integer(std::int64_t least) const {
    std::int64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size() || value < least)
      refuse(all, fmt::format("{} must be an integer of at least {}; got '{}'", key, least, printable(text)));
    return value;
  }
  double fraction() const {
    double value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size() || !(value > 0 && value < 1))
      refuse(all, fmt::format("{} must lie between 0 and 1; got '{}'", key, printable(text)));
    return value;
  }
  [[noreturn]] void unknown(const std::vector<std::string_view>& names) const {
    refuse(all, fmt::format("{} must be one of {}; got '{}'", key, fmt::join(names, ", "), printable(text)));
  }
};

void set_phase(Drill& drill, const Value& value) {
  if (const auto phase = kernels::phase_named(value.text)) {
    drill.phase = *phase;
    return;
  }
  for (int i = 0; i < parallel::kCollectives; ++i) {
    if (parallel::collective_name(static_cast<Collective>(i)) != value.text) continue;
    drill.phase = static_cast<Collective>(i);
    return;
  }
  value.unknown(phase_names());
}

void set_site(Drill& drill, const Value& value) {
  const auto names = site_names(drill.kind);
  if (std::ranges::find(names, value.text) == names.end()) value.unknown(names);
  drill.site = *kernels::site_named(value.text);
}

void set_error(Drill& drill, const Value& value) {
  const auto found = std::ranges::find(kErrors, value.text, &ErrorName::name);
  if (found == kErrors.end()) {
    std::vector<std::string_view> names;
    for (const ErrorName& error : kErrors) names.push_back(error.name);
    value.unknown(names);
  }
  drill.error_number = found->number;
}

void set(Drill& drill, const Value& value) {
  if (value.key == "rank") {
    drill.rank = value.text == "all" ? -1 : value.integer(0);
  } else if (value.key == "step") {
    drill.step = value.integer(0);
  } else if (value.key == "phase") {
    set_phase(drill, value);
  } else if (value.key == "layer") {
    drill.layer = value.integer(0);
  } else if (value.key == "site") {
    set_site(drill, value);
  } else if (value.key == "speed") {
    drill.speed = value.fraction();
  } else {
    set_error(drill, value);
  }
}

}  // namespace

std::string_view drill_name(DrillKind kind) {
  return kKinds[static_cast<std::size_t>(kind)].name;
}

std::string drill_help() {
  const std::vector<std::string_view> phases = phase_names();
  const auto own = phases.begin() + kernels::kPhases;
  return fmt::format(
      "Faults on purpose, to see what a cluster makes of them (--inject KIND@key=value,...):\n"
      "  kill crash abort leave stop hang error term   keys rank, step, phase, layer\n"
      "  slow   rank, step, speed=0.7       disk   rank, step, errno=ENOSPC|EIO|EDQUOT|EROFS (a save fails)\n"
      "  nan    rank, step, layer, site     flip   rank, step, site={} (one bit)\n"
      "  Left out: rank=0 (or all), the first step that comes, phase=forward.\n"
      "  phase: {}\n         {}\n"
      "  site:  {}\n         {}",
      fmt::join(site_names(DrillKind::flip), "|"), fmt::join(phases.begin(), own, " "),
      fmt::join(own, phases.end(), " "), fmt::join(site_names(DrillKind::nan) | std::views::take(6), " "),
      fmt::join(site_names(DrillKind::nan) | std::views::drop(6), " "));
}

Drill parse_drill(const std::string& text) {
  const std::string_view view = text;
  const std::size_t at = view.find('@');
  const std::string_view name = view.substr(0, at);
  const auto kind = std::ranges::find(kKinds, name, &Kind::name);
  if (kind == kKinds.end()) {
    std::vector<std::string_view> names;
    for (const Kind& known : kKinds) names.push_back(known.name);
    refuse(text,
           fmt::format("the kind must be one of {}; got '{}'", fmt::join(names, ", "), printable(name)));
  }
  Drill drill;
  drill.kind = static_cast<DrillKind>(kind - kKinds.begin());
  if (drill.kind == DrillKind::flip) drill.site = Site::weights;
  drill.error_number = ENOSPC;
  if (at == std::string_view::npos) return drill;
  const std::vector<std::string_view> own = split(kind->keys, ' ');
  std::vector<std::string_view> seen;
  for (const std::string_view part : split(view.substr(at + 1), ',')) {
    const std::size_t equal = part.find('=');
    if (equal == std::string_view::npos)
      refuse(text, fmt::format("each part after @ must be key=value; got '{}'", printable(part)));
    const Value value = {text, part.substr(0, equal), part.substr(equal + 1)};
    if (value.key != "rank" && value.key != "step" && std::ranges::find(own, value.key) == own.end())
      refuse(text, fmt::format("{} takes the keys rank, step, {}; got '{}'", name, fmt::join(own, ", "),
                               printable(value.key)));
    if (std::ranges::find(seen, value.key) != seen.end())
      refuse(text, fmt::format("{} must be given once", value.key));
    seen.push_back(value.key);
    set(drill, value);
  }
  return drill;
}

}  // namespace switchyard::app
