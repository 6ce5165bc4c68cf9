#include "tests/parallel/device/moving_nccl.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/support/cuda_on_host/streams.h"

namespace switchyard::test {

namespace {

using parallel::NcclId;
using parallel::NcclStatus;

std::atomic<std::int64_t> collectives{0};

enum class Kind { send, receive, reduce, broadcast };
struct Operation {
  Kind kind;
  const void* in;
  void* out;
  std::int64_t size;  // bytes; of reduce: values
  int peer;           // or root
};
struct Posted {
  std::vector<Operation> operations;
  std::shared_ptr<kernels::DeviceEvent> ready;  // all before it in the rank's queue has been done
};

// The ranks of one communicator.
struct Group {
  std::mutex mutex;
  std::vector<std::vector<Posted>> posted;  // by rank
  std::unique_ptr<kernels::DeviceQueue> queue;
  std::int64_t carried_out = 0;
  int joined = 0;
  std::optional<int> aborted_by;
  std::string mistake;

  void advance();
  std::vector<std::function<void()>> moves_of(std::size_t collective);
};

std::vector<const Operation*> of_kind(const Posted& posted, Kind kind) {
  std::vector<const Operation*> found;
  for (const Operation& operation : posted.operations)
    if (operation.kind == kind) found.push_back(&operation);
  return found;
}

void move_messages(const std::vector<const Posted*>& ranks, std::vector<std::function<void()>>& moves,
                   std::string& mistake) {
  std::map<std::pair<int, int>, std::deque<const Operation*>> under_way;
  for (std::size_t from = 0; from < ranks.size(); ++from)
    for (const Operation* sent : of_kind(*ranks[from], Kind::send))
      under_way[{static_cast<int>(from), sent->peer}].push_back(sent);
  for (std::size_t to = 0; to < ranks.size(); ++to) {
    for (const Operation* received : of_kind(*ranks[to], Kind::receive)) {
      auto& queue = under_way[{received->peer, static_cast<int>(to)}];
      if (queue.empty() || queue.front()->size != received->size) {
        mistake = "a message of this size was not sent";
        return;
      }
      moves.emplace_back([sent = queue.front(), received] {
        std::memmove(received->out, sent->in, static_cast<std::size_t>(received->size));
      });
      queue.pop_front();
    }
  }
  for (const auto& [pair, queue] : under_way)
    if (!queue.empty()) mistake = "a message was not received";
}

void sum_to_root(const std::vector<const Operation*>& calls) {
  std::vector<std::int64_t> sum(static_cast<std::size_t>(calls[0]->size), 0);
  for (const Operation* call : calls)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<const std::int64_t*>(call->in)[i];
  void* const out = calls[static_cast<std::size_t>(calls[0]->peer)]->out;
  std::memcpy(out, sum.data(), sum.size() * sizeof(std::int64_t));
}

void spread_from_root(const std::vector<const Operation*>& calls) {
  const void* const in = calls[static_cast<std::size_t>(calls[0]->peer)]->in;
  for (const Operation* call : calls) std::memmove(call->out, in, static_cast<std::size_t>(call->size));
}

// What a collective of this group moves; sets `mistake` where the ranks' calls do not match.
std::vector<std::function<void()>> Group::moves_of(std::size_t collective) {
  std::vector<const Posted*> ranks;
  for (const auto& rank : posted) ranks.push_back(&rank[collective]);
  std::vector<std::function<void()>> moves;
  move_messages(ranks, moves, mistake);
  for (const Kind kind : {Kind::reduce, Kind::broadcast}) {
    const std::size_t count = of_kind(*ranks[0], kind).size();
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<const Operation*> calls;
      for (const Posted* rank : ranks) {
        const auto all = of_kind(*rank, kind);
        const bool matches =
            all.size() == count &&
            (calls.empty() || (all[i]->size == calls[0]->size && all[i]->peer == calls[0]->peer));
        if (!matches) {
          mistake = "sums or broadcasts of other sizes or to other roots";
          return {};
        }
        calls.push_back(all[i]);
      }
      moves.emplace_back(
          [kind, calls] { kind == Kind::reduce ? sum_to_root(calls) : spread_from_root(calls); });
    }
  }
  return moves;
}

void Group::advance() {
  const auto come = [&](const std::vector<Posted>& rank) { return std::ssize(rank) > carried_out; };
  while (mistake.empty() && std::all_of(posted.begin(), posted.end(), come)) {
    const auto at = static_cast<std::size_t>(carried_out);
    for (const auto& rank : posted) rank[at].ready->wait();
    for (auto& move : moves_of(at))
      cuda_on_host::enqueue(static_cast<CUstream_st*>(queue->handle()), std::move(move));
    queue->wait();
    ++carried_out;
    ++collectives;
  }
}

std::shared_ptr<Group> group_of(const NcclId& id) {
  static std::mutex mutex;
  static std::map<NcclId, std::weak_ptr<Group>> groups;
  const std::scoped_lock lock(mutex);
  auto group = groups[id].lock();
  if (!group) groups[id] = group = std::make_shared<Group>();
  return group;
}

class MovingCalls final : public parallel::NcclCalls {
 public:
  MovingCalls(kernels::DeviceQueue& caller, std::function<void()> before)
      : caller_(caller),
        before_(std::move(before)),
        queue_(kernels::make_device_queue()),
        arrived_(caller.make_event()) {}

  NcclStatus make_id(NcclId& id) override {
    static std::atomic<std::uint64_t> made{0};
    id.fill(std::byte{0});
    const std::uint64_t number = ++made;
    std::memcpy(id.data(), &number, sizeof number);
    return NcclStatus::success;
  }
  NcclStatus start(const NcclId& id, int rank, int size) override {
    group_ = group_of(id);
    rank_ = static_cast<std::size_t>(rank);
    const std::scoped_lock lock(group_->mutex);
    group_->posted.resize(static_cast<std::size_t>(size));
    if (!group_->queue) group_->queue = kernels::make_device_queue();
    ++group_->joined;
    return NcclStatus::in_progress;
  }
  NcclStatus state() override {
    const std::scoped_lock lock(group_->mutex);
    if (group_->aborted_by) return NcclStatus::remote_error;
    if (!group_->mistake.empty()) return NcclStatus::failed;
    return group_->joined < std::ssize(group_->posted) ? NcclStatus::in_progress : NcclStatus::success;
  }

  NcclStatus begin() override {
    before_();
    operations_.clear();
    return NcclStatus::success;
  }
  NcclStatus end() override {
    const std::scoped_lock lock(group_->mutex);
    Posted posted{operations_, queue_->make_event()};
    queue_->record(*posted.ready);
    group_->posted[rank_].push_back(std::move(posted));
    return NcclStatus::in_progress;
  }
  NcclStatus send(const void* from, std::int64_t bytes, int peer) override {
    return note({Kind::send, from, nullptr, bytes, peer});
  }
  NcclStatus receive(void* to, std::int64_t bytes, int peer) override {
    return note({Kind::receive, nullptr, to, bytes, peer});
  }
  NcclStatus reduce(const void* in, void* out, std::int64_t count, int root) override {
    return note({Kind::reduce, in, out, count, root});
  }
  NcclStatus broadcast(const void* in, void* out, std::int64_t bytes, int root) override {
    return note({Kind::broadcast, in, out, bytes, root});
  }

  void follow_caller() override {
    caller_.record(*arrived_);
    queue_->wait_for(*arrived_);
  }
  std::int64_t mark() override {
    const std::scoped_lock lock(group_->mutex);
    return std::ssize(group_->posted[rank_]) - 1;
  }
  bool ended(std::int64_t mark) override {
    const std::scoped_lock lock(group_->mutex);
    group_->advance();
    return group_->carried_out > mark;
  }

  void abort() override {
    const std::scoped_lock lock(group_->mutex);
    if (!group_->aborted_by) group_->aborted_by = static_cast<int>(rank_);
  }
  NcclStatus finish() override { return NcclStatus::success; }
  void release() override {}
  std::string reason() override {
    const std::scoped_lock lock(group_->mutex);
    if (group_->aborted_by) return "rank " + std::to_string(*group_->aborted_by) + " aborted";
    return group_->mistake;
  }

 private:
  NcclStatus note(const Operation& operation) {
    operations_.push_back(operation);
    return NcclStatus::success;
  }

  kernels::DeviceQueue& caller_;
  std::function<void()> before_;
  std::unique_ptr<kernels::DeviceQueue> queue_;
  std::unique_ptr<kernels::DeviceEvent> arrived_;
  std::shared_ptr<Group> group_;
  std::size_t rank_ = 0;
  std::vector<Operation> operations_;
};

}  // namespace

std::unique_ptr<parallel::NcclCalls> make_moving_nccl_calls(kernels::DeviceQueue& caller,
                                                            std::function<void()> before) {
  return std::make_unique<MovingCalls>(caller, std::move(before));
}

std::int64_t moved_collectives() {
  return collectives;
}

}  // namespace switchyard::test
