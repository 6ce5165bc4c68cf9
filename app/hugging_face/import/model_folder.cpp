#include "app/hugging_face/import/model_folder.h"

#include <fmt/format.h>

#include "app/terminal/format.h"
#include "data/safetensors/safetensors_file.h"
#include "data/safetensors/strict_json.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

constexpr std::string_view kWhole = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::int64_t kMostConfigBytes = std::int64_t{16} << 20;
constexpr std::int64_t kMostIndexBytes = std::int64_t{512} << 20;
constexpr int kMostDepth = 32;

nlohmann::json parse(const std::string& text, const std::string& place) {
  return data::parse_strict_json(text, kMostDepth, place);
}

/// A name that can only mean an entry of the folder it is looked for in.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

ModelFolder::ModelFolder(data::Io& io, std::filesystem::path folder) : io_(io), folder_(std::move(folder)) {
  if (!std::filesystem::is_directory(folder_))
    throw UserError(
        fmt::format("{} must be a folder with config.json and safetensors files", folder_.string()));
  require_file("config.json", "every model folder");
  config_ = parse(text_of("config.json", kMostConfigBytes), config_place());
  const bool has_whole = io_.stat(folder_ / kWhole).kind != data::EntryKind::absent;
  const bool has_index = io_.stat(folder_ / kIndex).kind != data::EntryKind::absent;
  if (has_whole && has_index)
    throw DataError(fmt::format("{}: must have {} or {}, not both: it is unclear which is the model",
                                folder_.string(), kWhole, kIndex));
  if (!has_whole && !has_index)
    throw DataError(
        fmt::format("{}: must have {} or {}; convert older formats (.bin, .pth) with the program that "
                    "wrote them",
                    folder_.string(), kWhole, kIndex));
  if (has_whole)
    add_file(std::string(kWhole));
  else
    read_index(text_of(std::string(kIndex), kMostIndexBytes));
}

void ModelFolder::require_file(const std::string& name, std::string_view named_by) {
  const auto path = folder_ / name;
  switch (io_.stat(path).kind) {
    case data::EntryKind::file:
      return;
    case data::EntryKind::absent:
      throw DataError(fmt::format("{}: must be there, since {} names it", path.string(), named_by));
    case data::EntryKind::link:
      throw DataError(
          fmt::format("{}: must be a file of the folder itself; got a symbolic link; `cp -rL` makes a folder "
                      "without links",
                      path.string()));
    default:
      throw DataError(fmt::format("{}: must be a regular file", path.string()));
  }
}

std::string ModelFolder::text_of(const std::string& name, std::int64_t limit) {
  if (io_.stat(folder_ / name).kind == data::EntryKind::absent) return {};
  require_file(name, "the folder");
  return data::read_whole_file(io_, folder_ / name, data::FolderLink::followed, limit);
}

void ModelFolder::add_file(const std::string& name) {
  require_file(name, files_.empty() ? "the folder" : kIndex);
  const data::SafetensorsReader reader(io_, folder_ / name);
  for (const data::SafetensorsEntry& entry : reader.header().entries) {
    const auto [found, is_new] = tensors_.try_emplace(
        entry.name, Tensor{entry.dtype, entry.shape, files_.size(), entry.begin, entry.end});
    if (!is_new)
      throw DataError(fmt::format("{}: tensor '{}' must be in one file only; got it in {} and {}",
                                  folder_.string(), printable(entry.name), files_[found->second.file], name));
  }
  files_.push_back(name);
}

void ModelFolder::read_index(const std::string& text) {
  const std::string place = (folder_ / kIndex).string();
  const nlohmann::json index = parse(text, place);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object())
    throw DataError(fmt::format("{}: must be an object with the object weight_map", place));
  std::map<std::string, std::size_t, std::less<>> order;
  for (const auto& item : map->items()) {
    if (!item.value().is_string() || !is_plain_name(item.value().get_ref<const std::string&>()))
      throw DataError(fmt::format("{}: weight_map.{}: must be the name of a file in the same folder; got {}",
                                  place, printable(item.key()), printable(item.value().dump(-1, ' ', true))));
    order.try_emplace(item.value().get<std::string>(), 0);
    if (order.size() > kMostFiles)
      throw DataError(fmt::format("{}: may name at most {} files", place, kMostFiles));
  }
  for (auto& [name, number] : order) {
    number = files_.size();
    require_file(name, place);
    add_file(name);
  }
  for (const auto& item : map->items()) {
    const auto found = tensors_.find(item.key());
    const std::string file = item.value().get<std::string>();
    if (found == tensors_.end())
      throw DataError(
          fmt::format("{}: tensor '{}' must be in {}; it is in no file", place, printable(item.key()), file));
    if (found->second.file != order.at(file))
      throw DataError(fmt::format("{}: tensor '{}' must be in {}; it is in {}", place, printable(item.key()),
                                  file, files_[found->second.file]));
  }
  for (const auto& [name, tensor] : tensors_)
    if (!map->contains(name))
      throw DataError(fmt::format("{}: must name every tensor; got no '{}', which is in {}", place,
                                  printable(name), files_[tensor.file]));
}

void ModelFolder::read(const Tensor& tensor, std::int64_t offset, void* bytes, std::size_t size) {
  auto found = open_.begin();
  while (found != open_.end() && found->index != tensor.file) ++found;
  if (found == open_.end()) {
    if (open_.size() == kOpenFiles) open_.pop_back();
    const auto path = folder_ / files_[tensor.file];
    open_.push_front({tensor.file, data::File(io_, io_.open_read(path, data::FolderLink::followed))});
  } else {
    open_.splice(open_.begin(), open_, found);
  }
  if (open_.front().file.read(tensor.begin + offset, bytes, size) != size)
    throw DataError(fmt::format("{}: the file became shorter while it was read",
                                (folder_ / files_[tensor.file]).string()));
}

}  // namespace switchyard::app
