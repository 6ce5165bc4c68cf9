#include "app/terminal/result.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/runtime/error.h"

namespace switchyard::app {

void print_result(std::string_view text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  const int cause = errno;
  throw DiskError(fmt::format("stdout: the result must be written whole; got: {}; check where stdout goes",
                              std::strerror(cause)));
}

}  // namespace switchyard::app
