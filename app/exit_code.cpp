#include "app/exit_code.h"

namespace switchyard::app {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::user:
      return kExitUsage;
    case ErrorKind::data:
      return kExitData;
    case ErrorKind::checkpoint:
      return kExitCheckpoint;
    case ErrorKind::disk:
      return kExitDisk;
    case ErrorKind::numerics:
      return kExitNumerics;
    case ErrorKind::hang:
      return kExitHang;
    case ErrorKind::peer:
      return kExitPeer;
    case ErrorKind::device:
      return kExitDevice;
    case ErrorKind::internal:
      return kExitInternal;
  }
  return kExitInternal;
}

}  // namespace switchyard::app
