#include "app/command_line/device_option.h"

#include <map>
#include <string>

namespace switchyard::app {

void add_device_option(CLI::App& command, DeviceChoice& device) {
  static const std::map<std::string, DeviceChoice> choices = {{"cpu", DeviceChoice::cpu},
                                                              {"cuda", DeviceChoice::cuda}};
  command
      .add_option_function<std::string>(
          "--device", [&device](const std::string& word) { device = choices.at(word); },
          "where numbers are computed: cpu or cuda (default cpu)")
      ->check(CLI::IsMember({"cpu", "cuda"}));
}

}  // namespace switchyard::app
