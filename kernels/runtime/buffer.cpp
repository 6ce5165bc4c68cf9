#include "kernels/runtime/buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "kernels/runtime/device.h"

namespace switchyard::kernels {

namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t mapped_size(std::size_t bytes) {
  const std::size_t unit = bytes >= kHugePage ? kHugePage : 4096;
  return (bytes + unit - 1) / unit * unit;
}
}  // namespace

Buffer::Buffer(std::size_t bytes, Device device) : bytes_(bytes), device_(device) {
  if (bytes == 0) return;
  if (device == Device::cuda) {
    data_ = allocate_device_memory(bytes);
    return;
  }
  // Anonymous mappings arrive zeroed and untouched: the thread that first writes a page places it.
  const std::size_t size = mapped_size(bytes);
  const std::size_t slack = size >= kHugePage ? kHugePage : 0;
  void* raw =
      mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED)
    throw DeviceError(
        fmt::format("memory: {} bytes could not be had: {}; lower train.micro_batch or the model's size",
                    bytes, std::strerror(errno)));
  auto* begin = static_cast<std::byte*>(raw);
  if (slack > 0) {
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    const std::size_t head = (kHugePage - address % kHugePage) % kHugePage;
    if (head > 0) munmap(begin, head);
    if (slack > head) munmap(begin + head + size, slack - head);
    begin += head;
    madvise(begin, size, MADV_HUGEPAGE);  // only a wish: without huge pages the memory is as correct
  }
  data_ = begin;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  if (device_ == Device::cuda) {
    release_device_memory(data_);
  } else {
    munmap(data_, mapped_size(bytes_));
  }
}

}  // namespace switchyard::kernels
