#include "data/text/input_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "data/storage/file.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 8> kPacked = {".gz",  ".zst", ".xz",      ".bz2",
                                                     ".zip", ".tar", ".parquet", ".h5"};

class Listing {
 public:
  explicit Listing(const fs::path& excluded) {
    std::error_code ignored;
    const fs::path folder = fs::canonical(excluded, ignored);
    if (!folder.empty()) entered_.insert(folder.string());
  }

  void add(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      add_folder(path);
    } else {
      add_file(path);  // whose opening says what is wrong with it
    }
  }

  TextFiles take() { return std::move(found_); }

 private:
  void add_file(const fs::path& path) {
    const std::string extension = path.extension().string();
    if (std::find(kPacked.begin(), kPacked.end(), extension) != kPacked.end())
      throw DataError(
          fmt::format("data: text must be plain UTF-8 or JSONL; got a '{}' file ({}): unpack it first",
                      extension, path.string()));
    const InputFile file(path);
    found_.files.push_back(
        {path, extension == ".jsonl" ? TextKind::json_lines : TextKind::document, file.size()});
    found_.total_bytes += file.size();
  }

  void add_folder(const fs::path& path) {
    // A link may lead back up: the true name of each folder is entered once.
    if (!entered_.insert(fs::canonical(path).string()).second) return;
    std::vector<fs::path> entries;
    std::error_code error;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      entries.push_back(it->path());
    if (error)
      throw DataError(
          fmt::format("data: a folder must be readable; got '{}' ({})", error.message(), path.string()));
    std::sort(entries.begin(), entries.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
    for (const fs::path& entry : entries) {
      const fs::file_status status = fs::status(entry, error);
      const bool is_text = fs::is_regular_file(status) || fs::is_directory(status);
      if (!is_text || entry.filename().native().starts_with(".")) {
        ++found_.num_skipped;
      } else {
        add(entry);
      }
    }
  }

  TextFiles found_;
  std::set<std::string> entered_;
};

}  // namespace

TextFiles list_text_files(std::span<const fs::path> inputs, const fs::path& excluded) {
  if (inputs.empty()) throw UserError("prepare: at least one text file or folder must be named; got none");
  Listing listing(excluded);
  for (const fs::path& input : inputs) listing.add(input);
  return listing.take();
}

}  // namespace switchyard::data
