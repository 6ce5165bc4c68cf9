// Checks for our own promises. User input is checked with UserError and its siblings instead (error.h).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "kernels/runtime/error.h"

namespace switchyard {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& detail);

}  // namespace switchyard

/// Always on. SWITCHYARD_CHECK(a <= b, "rows; got {} > {}", a, b) throws InternalError naming place and
/// values.
#define SWITCHYARD_CHECK(condition, ...)                                                      \
  do {                                                                                        \
    if (!(condition)) [[unlikely]]                                                            \
      ::switchyard::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)

/// As SWITCHYARD_CHECK, but only in builds with assertions: for conditions inside hot loops.
#ifdef NDEBUG
#define SWITCHYARD_ASSERT(condition, ...) \
  do {                                    \
  } while (false)
#else
#define SWITCHYARD_ASSERT(condition, ...) SWITCHYARD_CHECK(condition, __VA_ARGS__)
#endif
