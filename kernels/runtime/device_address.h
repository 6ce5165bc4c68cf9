// Where devices sit: what tells them apart, and who reaches whose memory. Defined beside device.h's
// functions.
#pragma once

#include <string>

namespace switchyard::kernels {

/// The bus address of the calling thread's device, "0000:1b:00.0": tells the devices of a host apart, also
/// where each process is shown one alone, which it calls number 0. Throws DeviceError without a device.
std::string current_device_address();
/// How many of the other devices found can be read directly by device `index`. Throws as above.
int device_peers(int index);

}  // namespace switchyard::kernels
