// NCCL's calls as a script: what each answers is told in advance, what was called is written down.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "parallel/communicators/device/nccl/nccl_calls.h"

namespace switchyard::test {

using parallel::NcclStatus;

/// Outlives the calls, so that a test can look at it after they are gone.
struct Script {
  /// Next answers of a call by name; success when there are none left.
  std::map<std::string, std::deque<NcclStatus>> answers;
  /// Polls after which marks have ended; -1 = never.
  int polls_until_ended = 0;
  std::vector<std::string> log;
  std::string reason = "unhandled cuda error";
};

class ScriptedCalls final : public parallel::NcclCalls {
 public:
  explicit ScriptedCalls(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  NcclStatus make_id(parallel::NcclId& id) override {
    id.fill(std::byte{7});
    return answer("make_id");
  }
  NcclStatus start(const parallel::NcclId& id, int rank, int size) override {
    return answer("start", std::to_string(rank) + "/" + std::to_string(size) + " id " +
                               std::to_string(std::to_integer<int>(id[0])));
  }
  NcclStatus state() override { return next("state"); }  // polled: not worth a line
  NcclStatus begin() override { return answer("begin"); }
  NcclStatus end() override { return answer("end"); }
  NcclStatus send(const void* from, std::int64_t bytes, int peer) override {
    return answer("send", piece(from, bytes, peer));
  }
  NcclStatus receive(void* to, std::int64_t bytes, int peer) override {
    return answer("receive", piece(to, bytes, peer));
  }
  NcclStatus reduce(const void* in, void* out, std::int64_t count, int root) override {
    return answer("reduce", piece(in, count, root) + (out == nullptr ? "" : " to " + place(out)));
  }
  NcclStatus broadcast(const void* in, void* out, std::int64_t bytes, int root) override {
    return answer("broadcast", piece(in, bytes, root) + (out == in ? "" : " to " + place(out)));
  }
  void follow_caller() override { script_->log.emplace_back("follow"); }
  std::int64_t mark() override {
    script_->log.emplace_back("mark");
    return marks_++;
  }
  bool ended(std::int64_t) override {
    return script_->polls_until_ended >= 0 && polls_++ >= script_->polls_until_ended;
  }
  void abort() override { script_->log.emplace_back("abort"); }
  NcclStatus finish() override { return answer("finish"); }
  void release() override { script_->log.emplace_back("release"); }
  std::string reason() override { return script_->reason; }

  /// Addresses are written down from here.
  static inline const std::byte* origin = nullptr;

 private:
  static std::string place(const void* address) {
    return std::to_string(static_cast<const std::byte*>(address) - origin);
  }
  static std::string piece(const void* address, std::int64_t size, int peer) {
    return std::to_string(size) + " at " + place(address) + " peer " + std::to_string(peer);
  }
  NcclStatus next(const std::string& call) {
    auto& queue = script_->answers[call];
    if (queue.empty()) return NcclStatus::success;
    const NcclStatus status = queue.front();
    queue.pop_front();
    return status;
  }
  NcclStatus answer(const std::string& call, const std::string& detail = "") {
    script_->log.push_back(detail.empty() ? call : call + " " + detail);
    return next(call);
  }

  std::shared_ptr<Script> script_;
  std::int64_t marks_ = 0;
  int polls_ = 0;
};

}  // namespace switchyard::test
