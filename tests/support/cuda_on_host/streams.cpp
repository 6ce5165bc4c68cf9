#include "tests/support/cuda_on_host/streams.h"

#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <string_view>

#include "kernels/runtime/error.h"
#include "tests/support/cuda_on_host/control.h"
#include "tests/support/cuda_on_host/counting.h"
#include "tests/support/cuda_on_host/memory.h"

struct CUevent_st {
  std::uint64_t recorded = 0;  // how often it was put into a queue
  std::uint64_t reached = 0;   // and the last of those that has been run
  CUstream_st* stream = nullptr;
};

struct CUstream_st {
  struct Item {
    std::function<void()> work;
    CUevent_st* awaited = nullptr;  // not run before this event has been reached as often as `times`
    std::uint64_t times = 0;
  };
  std::deque<Item> items;
  bool running = false;
};

namespace switchyard::cuda_on_host {

namespace {

struct Device {
  std::set<CUstream_st*> streams;
  std::string failure;
  Order order = Order::awaited_only;
  std::uint64_t seed = 0;
};
Device& device() {
  static Device state;
  return state;
}

bool blocking() {
  const char* value = std::getenv("CUDA_LAUNCH_BLOCKING");
  return value != nullptr && std::string_view(value) == "1";
}

void run_first(CUstream_st& stream);

// Device memory is opened once for all that a wait runs: each opening costs a change of its pages'
// protection.
void reach(CUevent_st& event, std::uint64_t times) {
  if (event.reached >= times) return;
  const OnDevice touching;
  while (event.reached < times && event.stream != nullptr && !event.stream->items.empty())
    run_first(*event.stream);
}

void run_first(CUstream_st& stream) {
  CUstream_st::Item item = std::move(stream.items.front());
  stream.items.pop_front();
  if (item.awaited != nullptr) return reach(*item.awaited, item.times);
  if (!device().failure.empty()) return;
  try {
    item.work();
  } catch (const std::exception& error) {
    device().failure = error.what();
  }
}

void run_all(CUstream_st& stream) {
  if (stream.items.empty()) return;
  const OnDevice touching;
  while (!stream.items.empty()) run_first(stream);
}

void run_others(const CUstream_st* but) {
  if (device().order != Order::others_first) return;
  for (CUstream_st* stream : device().streams)
    if (stream != but) run_all(*stream);
}

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void set_schedule(Order order, std::uint64_t seed) {
  const std::scoped_lock lock(runtime_mutex());
  device().order = order;
  device().seed = seed;
}

void enqueue(CUstream_st* stream, std::function<void()> work) {
  const std::scoped_lock lock(runtime_mutex());
  if (stream == nullptr || !device().streams.contains(stream))
    throw DeviceError("cuda on host: work was given to no stream, to the default one or to one that is gone");
  stream->items.push_back({std::move(work), nullptr, 0});
  if (blocking()) run_all(*stream);
}

void enqueue_grid(CUstream_st* stream, Grid grid) {
  const std::scoped_lock lock(runtime_mutex());
  ++counting().kernels;
  enqueue(stream, [grid = std::move(grid)] { run_grid(grid, device().seed); });
  if (blocking() && !device().failure.empty()) {
    const std::string what = device().failure;
    device().failure.clear();
    throw DeviceError(what);
  }
}

CUstream_st* make_stream() {
  const std::scoped_lock lock(runtime_mutex());
  auto* stream = new CUstream_st;
  device().streams.insert(stream);
  return stream;
}
void destroy_stream(CUstream_st* stream) {
  const std::scoped_lock lock(runtime_mutex());
  run_all(*stream);
  device().streams.erase(stream);
  delete stream;
}

CUevent_st* make_event() {
  return new CUevent_st;
}
void destroy_event(CUevent_st* event) {
  const std::scoped_lock lock(runtime_mutex());
  reach(*event, event->recorded);
  for (const CUstream_st* stream : device().streams)
    for (const CUstream_st::Item& item : stream->items)
      if (item.awaited == event) return;  // still needed; a test's few events may stay
  delete event;
}

void record_event(CUevent_st* event, CUstream_st* stream) {
  const std::scoped_lock lock(runtime_mutex());
  const std::uint64_t times = ++event->recorded;
  event->stream = stream;
  enqueue(stream, [event, times] { event->reached = times; });
}
void make_stream_wait(CUstream_st* stream, CUevent_st* event) {
  const std::scoped_lock lock(runtime_mutex());
  stream->items.push_back({{}, event, event->recorded});
}

void wait_for_stream(CUstream_st* stream) {
  const std::scoped_lock lock(runtime_mutex());
  run_others(stream);
  run_all(*stream);
}
void wait_for_event(CUevent_st* event) {
  const std::scoped_lock lock(runtime_mutex());
  run_others(event->stream);
  reach(*event, event->recorded);
}
void wait_for_all() {
  const std::scoped_lock lock(runtime_mutex());
  for (CUstream_st* stream : device().streams) run_all(*stream);
}
bool event_done(CUevent_st* event) {
  const std::scoped_lock lock(runtime_mutex());
  return event->reached == event->recorded;
}

const std::string& failure() {
  return device().failure;
}
void forget_failure() {
  const std::scoped_lock lock(runtime_mutex());
  device().failure.clear();
}

}  // namespace switchyard::cuda_on_host
