// A fixed crew of threads that share the work of one op.
// Work is cut by output, never along a sum, so the crew's size cannot change a result.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace switchyard::kernels {

/// A borrowed callable: valid only while the call it is passed to runs.
template <typename Signature>
class FunctionRef;
template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& function)  // NOLINT(bugprone-forwarding-reference-overload)
      : object_(const_cast<void*>(static_cast<const void*>(&function))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  Result operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

/// Cores that this process may run on; at least 1.
int available_cores();

class Threads {
 public:
  /// `count` threads in all, the caller's included; at least 1.
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const;

  /// Calls body(begin, end) until every item of [0, items) was in exactly one call. Ranges hold `grain` items
  /// (the last one fewer) and are claimed by whichever thread is free. Returns when all are done; the first
  /// exception thrown by a body is rethrown. Not re-entrant: a body must not call run.
  void run(std::int64_t items, std::int64_t grain, FunctionRef<void(std::int64_t, std::int64_t)> body);

  /// As run, with body(worker, begin, end): `worker` in [0, count()) names the calling thread's place in the
  /// crew, so that a body can use its own part of scratch memory. No two threads have the same one.
  void run_on_workers(std::int64_t items, std::int64_t grain,
                      FunctionRef<void(int, std::int64_t, std::int64_t)> body);

 private:
  struct Crew;
  std::unique_ptr<Crew> crew_;
};

}  // namespace switchyard::kernels
