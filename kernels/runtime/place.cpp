#include "kernels/runtime/place.h"

#include <algorithm>
#include <array>

namespace switchyard::kernels {

namespace {

constexpr std::array<std::string_view, kPhases> kPhaseNames = {"start",    "resume", "data",   "forward",
                                                               "backward", "reduce", "update", "agree",
                                                               "evaluate", "save",   "exit"};
constexpr std::array<std::string_view, kSites> kSiteNames = {"embedding",
                                                             "attention",
                                                             "norm",
                                                             "router",
                                                             "experts",
                                                             "loss",
                                                             "head_gradient",
                                                             "norm_gradient",
                                                             "experts_gradient",
                                                             "router_gradient",
                                                             "attention_gradient",
                                                             "embedding_gradient",
                                                             "weights",
                                                             "moments"};

template <typename Enum, std::size_t size>
std::optional<Enum> named(const std::array<std::string_view, size>& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

}  // namespace

std::string_view phase_name(Phase phase) {
  return kPhaseNames[static_cast<std::size_t>(phase)];
}
std::optional<Phase> phase_named(std::string_view name) {
  return named<Phase>(kPhaseNames, name);
}
std::string_view site_name(Site site) {
  return kSiteNames[static_cast<std::size_t>(site)];
}
std::optional<Site> site_named(std::string_view name) {
  return named<Site>(kSiteNames, name);
}

}  // namespace switchyard::kernels
