// The works of the checkpoint store as a program of its own, to be struck from outside, at its system calls:
//   store_drill prepare|save|deletion|recovery|check ROOT
// A work calls getppid before and after, so that a trace shows where it begins and ends. It exits with 0 when
// done and with 1 when the file system refused. `check` exits with 3 and says why when the promise is broken.
#include <unistd.h>

#include <cstdio>
#include <map>
#include <string>

#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "tests/data/checkpoint/works.h"

namespace {

using namespace switchyard;
using namespace switchyard::data;

constexpr int kRefused = 1;
constexpr int kUsage = 2;
constexpr int kBroken = 3;

int check(Io& io, const std::filesystem::path& root) {
  std::int64_t step = 0;
  std::string wrong = broken_promise(io, root, &step);
  if (wrong.empty()) wrong = cannot_go_on(io, root);
  if (wrong.empty()) {
    std::printf("%lld\n", static_cast<long long>(step));
    return 0;
  }
  std::fprintf(stderr, "%s\n", wrong.c_str());
  return kBroken;
}

int perform_marked(Work work, Io& io, const std::filesystem::path& root) {
  int code = 0;
  ::getppid();
  try {
    perform(work, io, root);
  } catch (const Error&) {
    code = kRefused;
  }
  ::getppid();
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, Work> works = {
      {"save", Work::save}, {"deletion", Work::deletion}, {"recovery", Work::recovery}};
  const std::string what = argc == 3 ? argv[1] : "";
  if (what != "prepare" && what != "check" && !works.contains(what)) {
    std::fputs("usage: store_drill prepare|save|deletion|recovery|check ROOT\n", stderr);
    return kUsage;
  }
  RealIo io;
  try {
    if (what == "check") return check(io, argv[2]);
    if (what != "prepare") return perform_marked(works.at(what), io, argv[2]);
    prepare(io, argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kBroken;
  }
}
