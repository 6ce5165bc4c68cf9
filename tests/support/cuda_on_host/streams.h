// Streams and events of the stand-in: work waits in its stream's queue until somebody waits for it, so that a
// host that forgets to wait reads what was there before.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/cuda_on_host/execution.h"

struct CUstream_st;
struct CUevent_st;

namespace switchyard::cuda_on_host {

/// Puts a grid at the end of the queue. Where CUDA_LAUNCH_BLOCKING=1 is set in the environment it is run at
/// once, as CUDA does. Throws DeviceError for the default stream, which would order itself with all others.
void enqueue_grid(CUstream_st* stream, Grid grid);
void enqueue(CUstream_st* stream, std::function<void()> work);

CUstream_st* make_stream();
void destroy_stream(CUstream_st* stream);
CUevent_st* make_event();
void destroy_event(CUevent_st* event);
void record_event(CUevent_st* event, CUstream_st* stream);
void make_stream_wait(CUstream_st* stream, CUevent_st* event);

/// Run what is awaited. After work has failed, every further wait fails with the same text, as on a device.
void wait_for_stream(CUstream_st* stream);
void wait_for_event(CUevent_st* event);
void wait_for_all();
bool event_done(CUevent_st* event);
/// Why work failed; empty if none has.
const std::string& failure();
/// So that the next test can begin.
void forget_failure();

}  // namespace switchyard::cuda_on_host
