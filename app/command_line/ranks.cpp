#include "app/command_line/ranks.h"

#include <exception>
#include <utility>

#include "app/command_line/dispatch.h"
#include "app/exit_code.h"

namespace switchyard::app {

namespace {

// A failure in the words that every command uses, on its way to the one rank that prints it.
class DescribedFailure : public std::exception {
 public:
  explicit DescribedFailure(Failure failure) : failure_(std::move(failure)) {
    if (failure_.text.ends_with('\n')) failure_.text.pop_back();  // the printing rank adds its own
  }
  const char* what() const noexcept override { return failure_.text.c_str(); }
  int exit_code() const { return failure_.exit_code; }

 private:
  Failure failure_;
};

int exit_code_of(const std::exception& error) {
  const auto* described = dynamic_cast<const DescribedFailure*>(&error);
  return described == nullptr ? kExitInternal : described->exit_code();
}

}  // namespace

int run_on_ranks(std::string_view command, const std::function<int(parallel::MpiWorld&)>& body) {
  std::exception_ptr failure_of_one_rank;  // has no peer to end, so it leaves as any command's does
  const auto guarded = [&](parallel::MpiWorld& world) {
    try {
      return body(world);
    } catch (...) {
      if (world.communicator().size() > 1)
        throw DescribedFailure(describe_failure(std::current_exception(), command));
      failure_of_one_rank = std::current_exception();
      return kExitInternal;
    }
  };
  const int code = parallel::run_ranks({}, guarded, exit_code_of);
  if (failure_of_one_rank) std::rethrow_exception(failure_of_one_rank);
  return code;
}

}  // namespace switchyard::app
