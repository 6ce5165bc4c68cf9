#include "app/hugging_face/output_folder.h"

#include <fmt/format.h>

#include "kernels/runtime/error.h"

namespace switchyard::app {

void check_output(const std::filesystem::path& output, bool replace, std::string_view mark) {
  if (!std::filesystem::exists(std::filesystem::symlink_status(output))) return;
  if (!replace)
    throw UserError(
        fmt::format("--output must not exist yet; {} does; --force replaces it", output.string()));
  if (!std::filesystem::is_regular_file(output / mark))
    throw UserError(fmt::format("--force replaces only a folder that this command made, with {}; {} has none",
                                mark, output.string()));
}

}  // namespace switchyard::app
