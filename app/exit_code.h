// Exit codes of the program: the only place where a class of failure becomes a number.
#pragma once

#include "kernels/runtime/error.h"

namespace switchyard::app {

inline constexpr int kExitDone = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitData = 3;
inline constexpr int kExitCheckpoint = 4;
inline constexpr int kExitDisk = 5;
inline constexpr int kExitNumerics = 6;
inline constexpr int kExitHang = 7;
inline constexpr int kExitPeer = 8;
inline constexpr int kExitDevice = 9;
inline constexpr int kExitInternal = 70;
/// Stopped by a signal or a time limit with a checkpoint written; the same command resumes (EX_TEMPFAIL).
inline constexpr int kExitResumable = 75;

int exit_code(ErrorKind kind);

}  // namespace switchyard::app
