#include "app/verify/capture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "app/train/messages.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/host_values.h"

namespace switchyard::app {

namespace {

void append(std::string& out, const void* bytes, std::size_t size) {
  out.append(static_cast<const char*>(bytes), size);
}

// One slice as bytes: sizes first, so that the reader can walk.
void pack(kernels::Context& context, std::string& out, const moe::StateSlice& slice) {
  const std::size_t bytes = slice.values().bytes();
  const std::int64_t head[] = {static_cast<std::int64_t>(slice.name.size()),
                               static_cast<std::int64_t>(slice.dtype),
                               static_cast<std::int64_t>(slice.shape.size()), slice.begin, slice.end};
  append(out, head, sizeof head);
  append(out, slice.name.data(), slice.name.size());
  append(out, slice.shape.data(), slice.shape.size() * sizeof(std::int64_t));
  append(out, kernels::HostValues(context, slice.values()).view().raw(), bytes);
}

class Unpacker {
 public:
  explicit Unpacker(const std::string& text) : text_(text) {}
  bool done() const { return at_ == text_.size(); }
  void take(void* out, std::size_t size) {
    SWITCHYARD_CHECK(at_ + size <= text_.size(), "a packed slice ends early");
    std::memcpy(out, text_.data() + at_, size);
    at_ += size;
  }

 private:
  const std::string& text_;
  std::size_t at_ = 0;
};

// Puts one packed slice in its place and returns how many elements it brought.
void unpack(Unpacker& from, GlobalTensors& tensors, std::map<std::string, std::int64_t>& covered) {
  std::int64_t head[5];
  from.take(head, sizeof head);
  std::string name(static_cast<std::size_t>(head[0]), '\0');
  from.take(name.data(), name.size());
  GlobalTensor& tensor = tensors[name];
  tensor.dtype = static_cast<DType>(head[1]);
  tensor.shape.resize(static_cast<std::size_t>(head[2]));
  from.take(tensor.shape.data(), tensor.shape.size() * sizeof(std::int64_t));
  const auto elements =
      std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>());
  const std::size_t width = dtype_size(tensor.dtype);
  tensor.bytes.resize(static_cast<std::size_t>(elements) * width);
  from.take(tensor.bytes.data() + static_cast<std::size_t>(head[3]) * width,
            static_cast<std::size_t>(head[4] - head[3]) * width);
  covered[name] += head[4] - head[3];
}

std::string element_text(const GlobalTensor& tensor, std::size_t index) {
  if (tensor.dtype == DType::i64) {
    std::int64_t value = 0;
    std::memcpy(&value, tensor.bytes.data() + index * sizeof value, sizeof value);
    return fmt::format("{} * 2^-44", value);
  }
  float value = 0;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof value, sizeof value);
  return fmt::format("{} (bits {:08x})", value, std::bit_cast<std::uint32_t>(value));
}

// "[3, 0, 17]"
std::string place_text(const std::vector<std::int64_t>& shape, std::size_t index) {
  std::vector<std::size_t> place(shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) {
    place[d] = index % static_cast<std::size_t>(shape[d]);
    index /= static_cast<std::size_t>(shape[d]);
  }
  return fmt::format("[{}]", fmt::join(place, ", "));
}

std::string tensor_difference(const char* kind, const GlobalTensors& expected, const GlobalTensors& found) {
  for (const auto& [name, tensor] : expected) {
    const auto other = found.find(name);
    if (other == found.end()) return fmt::format("{} {} is missing", kind, name);
    if (tensor.bytes == other->second.bytes) continue;
    const std::size_t width = dtype_size(tensor.dtype);
    const auto at =
        static_cast<std::size_t>(
            std::mismatch(tensor.bytes.begin(), tensor.bytes.end(), other->second.bytes.begin()).first -
            tensor.bytes.begin()) /
        width;
    return fmt::format("{} {} at {}: {} became {}", kind, name, place_text(tensor.shape, at),
                       element_text(tensor, at), element_text(other->second, at));
  }
  return {};
}

bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

std::string loss_difference(const StepCapture& expected, const StepCapture& found) {
  for (std::size_t unit = 0; unit < expected.unit_loss.size(); ++unit)
    if (!same(expected.unit_loss[unit], found.unit_loss[unit]))
      return fmt::format("loss of unit {}: {} became {}", unit, expected.unit_loss[unit],
                         found.unit_loss[unit]);
  if (!same(expected.summary.loss, found.summary.loss))
    return fmt::format("loss of the step: {} became {}", expected.summary.loss, found.summary.loss);
  return {};
}

std::string routing_difference(const StepCapture& expected, const StepCapture& found) {
  for (std::size_t m = 0; m < expected.summary.layers.size(); ++m) {
    const moe::LayerSummary &a = expected.summary.layers[m], &b = found.summary.layers[m];
    for (std::size_t e = 0; e < a.load.size(); ++e)
      if (a.load[e] != b.load[e])
        return fmt::format("count of layer {}, expert {}: {} became {}", a.layer, e, a.load[e], b.load[e]);
    if (a.dropped != b.dropped)
      return fmt::format("dropped slots of layer {}: {} became {}", a.layer, a.dropped, b.dropped);
    if (!same(a.aux_loss, b.aux_loss) || !same(a.sequence_aux_loss, b.sequence_aux_loss) ||
        !same(a.z_loss, b.z_loss))
      return fmt::format("balancing losses of layer {}", a.layer);
  }
  return {};
}

std::string step_difference(const StepCapture& expected, const StepCapture& found) {
  for (const std::string& difference : {loss_difference(expected, found), routing_difference(expected, found),
                                        tensor_difference("gradient", expected.gradients, found.gradients)})
    if (!difference.empty()) return difference;
  if (!same(expected.gradient_norm, found.gradient_norm))
    return fmt::format("gradient norm: {} became {}", expected.gradient_norm, found.gradient_norm);
  return tensor_difference("state", expected.state, found.state);
}

}  // namespace

GlobalTensors assemble(kernels::Context& context, parallel::Communicator& world,
                       const std::vector<moe::StateSlice>& slices) {
  std::string packed;
  for (const moe::StateSlice& slice : slices) pack(context, packed, slice);
  GlobalTensors tensors;
  std::map<std::string, std::int64_t> covered;
  for (const std::string& text : gather_texts(world, packed)) {
    Unpacker from(text);
    while (!from.done()) unpack(from, tensors, covered);
  }
  for (const auto& [name, tensor] : tensors)
    SWITCHYARD_CHECK(covered[name] * static_cast<std::int64_t>(dtype_size(tensor.dtype)) ==
                         static_cast<std::int64_t>(tensor.bytes.size()),
                     "slices of {} cover {} elements of {} bytes", name, covered[name], tensor.bytes.size());
  return tensors;
}

void scatter(kernels::Context& context, const GlobalTensors& tensors,
             const std::vector<moe::StateSlice>& slices) {
  for (const moe::StateSlice& slice : slices) {
    const GlobalTensor& tensor = tensors.at(slice.name);
    const std::size_t width = dtype_size(slice.dtype);
    kernels::HostEdit edit(context, slice.values());
    std::memcpy(edit.view().raw(), tensor.bytes.data() + static_cast<std::size_t>(slice.begin) * width,
                static_cast<std::size_t>(slice.end - slice.begin) * width);
    edit.finish();
  }
}

std::string first_difference(const Capture& expected, const Capture& found) {
  for (const StepCapture& step : found) {
    const auto match = std::find_if(expected.begin(), expected.end(),
                                    [&](const StepCapture& other) { return other.step == step.step; });
    SWITCHYARD_CHECK(match != expected.end(), "no step {} to compare with", step.step);
    const std::string difference = step_difference(*match, step);
    if (!difference.empty()) return fmt::format("step {}: {}", step.step, difference);
  }
  return {};
}

}  // namespace switchyard::app
