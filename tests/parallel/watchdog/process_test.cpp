// What /proc says of a rank's process.
#include "parallel/watchdog/judge/process.h"

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace switchyard::parallel {
namespace {

TEST(Process, UnderADebuggerIsTracedAndKnowsIt) {
  EXPECT_EQ(is_traced(), false) << "unless you debug this test";
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::_exit(is_traced() ? 3 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(state_of({child, process_start(child)}), ProcessState::traced);
  ASSERT_EQ(::ptrace(PTRACE_CONT, child, nullptr, nullptr), 0);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST(Process, OfAnotherStartIsNotKilled) {
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  kill_process({child, process_start(child) + 1});
  EXPECT_EQ(state_of({child, process_start(child)}), ProcessState::runs);
  kill_process({child, process_start(child)});
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(Process, IsSeenToRunStopAndGo) {
  EXPECT_EQ(state_of(own_process()), ProcessState::runs);
  EXPECT_EQ(state_of({own_process().pid, own_process().start_ticks + 1}), ProcessState::gone)
      << "a number used again";
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  ProcessId id;
  id.pid = child;
  id.start_ticks = process_start(child);
  ASSERT_GT(id.start_ticks, 0);
  EXPECT_EQ(state_of(id), ProcessState::runs);
  ::kill(child, SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  EXPECT_EQ(state_of(id), ProcessState::stopped);
  kill_process(id);
  while (state_of(id) != ProcessState::gone) std::this_thread::yield();  // a zombie until it is waited for
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(state_of(id), ProcessState::gone);
}

}  // namespace
}  // namespace switchyard::parallel
