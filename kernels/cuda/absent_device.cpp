// Stands in for the CUDA runtime where the program is built without it: there are no devices.
#include <fmt/format.h>

#include "kernels/runtime/device.h"
#include "kernels/runtime/device_address.h"
#include "kernels/runtime/error.h"

namespace switchyard::kernels {

namespace {
constexpr const char* kWhy = "this program was built without CUDA (build the `cuda` preset)";
[[noreturn]] void absent() {
  throw DeviceError(fmt::format("cuda: {}; set run.device: cpu", kWhy));
}
}  // namespace

FoundDevices found_devices() {
  return {{}, kWhy};
}
void use_device(int) {
  absent();
}
std::string current_device_address() {
  absent();
}
int device_peers(int) {
  absent();
}
void* allocate_device_memory(std::size_t) {
  absent();
}
void release_device_memory(void*) noexcept {}
void* allocate_pinned_memory(std::size_t) {
  absent();
}
void release_pinned_memory(void*) noexcept {}
std::unique_ptr<DeviceQueue> make_device_queue() {
  absent();
}

}  // namespace switchyard::kernels
