#include "parallel/communicators/device/device_world.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/runtime/device_address.h"
#include "parallel/communicators/device/staged_communicator.h"

namespace switchyard::parallel {

namespace {

constexpr std::size_t kLongestName = 256;
using Name = std::array<char, kLongestName>;

// What ranks tell each other; longer names are cut alike on all ranks.
struct Told {
  Name host{}, device{};
};

Name name_of(const std::string& text) {
  Name name{};
  std::copy_n(text.begin(), std::min(text.size(), kLongestName - 1), name.begin());
  return name;
}

std::vector<DevicePlace> places_of(Communicator& world, const std::string& host, const std::string& device) {
  const Told own{name_of(host), name_of(device)};
  std::vector<Told> all(static_cast<std::size_t>(world.size()));
  world.all_gather(bytes_of(std::span(&own, 1)), bytes_of(std::span(all)));
  std::vector<DevicePlace> places;
  for (const Told& told : all) places.push_back({told.host.data(), told.device.data()});
  return places;
}

}  // namespace

DeviceWorld open_device_world(Communicator& world, kernels::Context& context, const std::string& host,
                              const NcclLimits& limits, MakeNcclCalls make_calls) {
  const std::string device = context.device() == Device::cpu ? "" : kernels::current_device_address();
  DeviceWorld opened{choose_route(places_of(world, host, device)), nullptr};
  if (opened.route.route == DeviceRoute::none) return opened;
  auto group = world.split(0, world.rank(), world.name());
  if (opened.route.route == DeviceRoute::host_memory) {
    opened.communicator = make_staged_communicator(std::move(group), context);
    return opened;
  }
  NcclOptions options;
  options.make_calls =
      make_calls ? std::move(make_calls) : [&context] { return make_nccl_calls(*context.queue()); };
  options.wait_for_device = [&context] { context.queue()->wait(); };
  options.limits = limits;
  opened.communicator = make_nccl_communicator(std::move(group), std::move(options));
  return opened;
}

}  // namespace switchyard::parallel
