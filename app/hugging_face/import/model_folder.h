// A Hugging Face folder from a stranger: its tensors by name, after every check that needs no model.
#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/io/io.h"
#include "data/safetensors/header.h"

namespace switchyard::app {

/// What is looked into and no further: config.json, and model.safetensors or what
/// model.safetensors.index.json names. Only regular files of the folder itself are opened: no links, no other
/// folders.
class ModelFolder {
 public:
  struct Tensor {
    std::string dtype;  ///< as the file spells it
    std::vector<std::int64_t> shape;
    std::size_t file = 0;             ///< index into files()
    std::int64_t begin = 0, end = 0;  ///< bytes of the file
  };
  static constexpr std::size_t kOpenFiles = 16;
  static constexpr std::size_t kMostFiles = 4096;

  /// Reads config.json, the index and the header of every file. Throws UserError if there is no such folder;
  /// DataError, naming the file and the tensor, for: a file that is missing, a link, too long or malformed;
  /// an index that names a file outside the folder; a tensor that two files have, that the index puts
  /// elsewhere, or that one has and the other has not.
  ModelFolder(data::Io& io, std::filesystem::path folder);

  const std::filesystem::path& path() const { return folder_; }
  const nlohmann::json& config() const { return config_; }
  std::string config_place() const { return (folder_ / "config.json").string(); }
  const std::vector<std::string>& files() const { return files_; }
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }

  /// Copies `size` bytes from byte `offset` of the tensor. Keeps at most kOpenFiles open. Throws DataError if
  /// the file has become shorter.
  void read(const Tensor& tensor, std::int64_t offset, void* bytes, std::size_t size);

  /// A file of the folder as text of at most `limit` bytes; empty if there is none. Throws DataError.
  std::string text_of(const std::string& name, std::int64_t limit);

 private:
  /// Throws DataError unless the name is that of a regular file in the folder.
  void require_file(const std::string& name, std::string_view named_by);
  void read_index(const std::string& text);
  void add_file(const std::string& name);

  data::Io& io_;
  std::filesystem::path folder_;
  nlohmann::json config_;
  std::vector<std::string> files_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  struct Open {
    std::size_t index;
    data::File file;
  };
  std::list<Open> open_;  // the most recently used first
};

}  // namespace switchyard::app
