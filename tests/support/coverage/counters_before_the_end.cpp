// Only in the build of scripts/coverage. A process that ends without exit() would take its counters along: these
// stand before the calls by which ours do (the linker's --wrap), write the counters, and go on to the call. What ends
// by another process's SIGKILL still loses them.
#include <csignal>
#include <cstdlib>

extern "C" {

void __gcov_dump();
void __gcov_reset();

[[noreturn]] void __real__Exit(int code);
[[noreturn]] void __real__exit(int code);
[[noreturn]] void __real_abort();
int __real_raise(int number);
int __real_MPI_Abort(void* communicator, int code) __attribute__((weak));

static void write_counters() {
  __gcov_dump();
  __gcov_reset();  // a signal may be survived: nothing is to be counted twice
}

[[noreturn]] void __wrap__Exit(int code) {
  write_counters();
  __real__Exit(code);
}
[[noreturn]] void __wrap__exit(int code) {
  write_counters();
  __real__exit(code);
}
[[noreturn]] void __wrap_abort() {
  write_counters();
  __real_abort();
}
int __wrap_raise(int number) {
  write_counters();
  return __real_raise(number);
}
int __wrap_MPI_Abort(void* communicator, int code) {
  write_counters();
  return __real_MPI_Abort(communicator, code);
}

}  // extern "C"
