#include "tests/app/hugging_face/model_writer.h"

#include <cstring>

#include "app/hugging_face/tensors/element_format.h"
#include "data/io/real_io.h"
#include "data/safetensors/safetensors_file.h"
#include "kernels/runtime/dtype.h"
#include "tests/app/hugging_face/folders.h"
#include "tests/support/process.h"

namespace switchyard::test {

float sample_value(const std::string& name, std::int64_t index) {
  std::uint64_t state =
      std::hash<std::string>()(name) + static_cast<std::uint64_t>(index) * 0x9e3779b97f4a7c15U;
  state = (state ^ state >> 31) * 0xbf58476d1ce4e5b9U;
  state ^= state >> 29;
  return static_cast<float>(static_cast<int>(state % 255) - 127) / 128.0F;
}

WrittenTensor sample_tensor(const std::string& name, const std::vector<std::int64_t>& shape,
                            const std::string& dtype) {
  std::int64_t elements = 1;
  for (const std::int64_t dim : shape) elements *= dim;
  WrittenTensor tensor{dtype, shape, {}};
  for (std::int64_t i = 0; i < elements; ++i) {
    const float value = sample_value(name, i);
    if (dtype == "F32") {
      tensor.bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
      continue;
    }
    std::uint16_t word = BFloat16(value).bits;
    if (dtype == "F16") {
      const auto half = static_cast<_Float16>(value);
      std::memcpy(&word, &half, sizeof(word));
    }
    tensor.bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  return tensor;
}

std::vector<float> values_of(const WrittenTensor& tensor) {
  const auto format = *app::element_format(tensor.dtype);
  std::vector<float> values(tensor.bytes.size() / app::element_bytes(format));
  app::to_floats(format, tensor.bytes.data(), values.size(), values.data());
  return values;
}

ModelWriter::ModelWriter(app::Family family, const std::string& dtype)
    : config(written_config(app::traits_of(family))) {
  for (const auto& [name, shape] : written_tensors(app::traits_of(family)))
    tensors[name] = sample_tensor(name, shape, dtype);
}

void ModelWriter::write(const std::filesystem::path& folder, int files) const {
  std::filesystem::create_directories(folder);
  write_file(folder / "config.json", config.dump(2));
  if (files == 1) return write_tensors(folder / "model.safetensors", tensors);
  std::vector<std::map<std::string, WrittenTensor>> parts(static_cast<std::size_t>(files));
  nlohmann::json map;
  std::size_t next = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t part = next++ % parts.size();
    parts[part][name] = tensor;
    map[name] = "part-" + std::to_string(part) + ".safetensors";
  }
  for (std::size_t i = 0; i < parts.size(); ++i)
    write_tensors(folder / ("part-" + std::to_string(i) + ".safetensors"), parts[i]);
  write_file(folder / "model.safetensors.index.json", nlohmann::json({{"weight_map", map}}).dump());
}

void write_tensors(const std::filesystem::path& file, const std::map<std::string, WrittenTensor>& tensors) {
  data::RealIo io;
  std::filesystem::remove(file);
  std::vector<data::SafetensorsSpec> specs;
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.dtype, tensor.shape});
  data::SafetensorsWriter writer(io, file, specs, {{"format", "pt"}});
  for (const auto& entry : writer.header().entries) {
    const std::string& bytes = tensors.at(entry.name).bytes;
    writer.append(bytes.data(), bytes.size());
  }
  writer.finish();
}

void write_empty_tensors(const std::filesystem::path& file, const std::string& dtype,
                         const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  std::vector<data::SafetensorsSpec> specs;
  for (const auto& [name, shape] : shapes) specs.push_back({name, dtype, shape});
  const auto [header, opening] = data::plan_safetensors(specs, {});
  write_file(file, opening);
  std::filesystem::resize_file(file, static_cast<std::uintmax_t>(header.entries.back().end));
}

std::map<std::string, WrittenTensor> read_tensors(const std::filesystem::path& file) {
  data::RealIo io;
  data::SafetensorsReader reader(io, file);
  std::map<std::string, WrittenTensor> tensors;
  for (const auto& entry : reader.header().entries) {
    WrittenTensor tensor{entry.dtype, entry.shape,
                         std::string(static_cast<std::size_t>(entry.end - entry.begin), '\0')};
    reader.read(entry, 0, tensor.bytes.data(), tensor.bytes.size());
    tensors[entry.name] = std::move(tensor);
  }
  return tensors;
}

}  // namespace switchyard::test
