// Ranks that share GPUs, which NCCL does not allow: what lies in device memory is copied to the host, crosses
// the ranks there and is copied back.
#pragma once

#include <memory>

#include "kernels/runtime/context.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// Takes over `host`. `context`: the rank's, on its device; copies go into its queue, and it must outlive the
/// communicator and those split from it. A rank's own rows are copied on the device and do not travel. Host
/// memory as large as the largest exchange is kept for the next one.
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> host,
                                                       kernels::Context& context);

}  // namespace switchyard::parallel
