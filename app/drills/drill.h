// Faults on purpose, as --inject spells them: KIND@key=value,key=value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "kernels/runtime/place.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::app {

enum class DrillKind : std::uint8_t {
  kill,   ///< SIGKILL
  crash,  ///< a segmentation fault
  abort,  ///< SIGABRT
  leave,  ///< ends early with exit code 0
  stop,   ///< SIGSTOP
  hang,   ///< the rank's thread sleeps for ever
  slow,   ///< works at a fraction of its speed
  error,  ///< an exception
  term,   ///< SIGTERM, as from a scheduler
  nan,    ///< a value becomes NaN
  flip,   ///< one bit of a weight or moment changes
  disk,   ///< a write of a checkpoint fails
};
inline constexpr int kDrillKinds = 12;
std::string_view drill_name(DrillKind kind);
/// Kinds, keys and an example, for --help.
std::string drill_help();

struct Drill {
  DrillKind kind = DrillKind::kill;
  std::int64_t rank = 0;             ///< -1 = all
  std::optional<std::int64_t> step;  ///< none = the first that comes
  /// Where it strikes: a phase, or a kind of collective that the rank enters.
  std::variant<kernels::Phase, parallel::Collective> phase = kernels::Phase::forward;
  std::optional<std::int64_t> layer;  ///< none = wherever the phase is entered
  kernels::Site site = kernels::Site::loss;
  double speed = 0.5;    ///< slow: of the usual
  int error_number = 0;  ///< disk
};

/// Throws UserError that names what is wrong and lists what would be right.
Drill parse_drill(const std::string& text);

}  // namespace switchyard::app
