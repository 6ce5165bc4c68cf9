#include "parallel/watchdog/guardian.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "parallel/watchdog/judge/process.h"
#include "parallel/watchdog/record/board.h"

namespace switchyard::parallel {

namespace {

// A handler can reach nothing but a global of this kind.
volatile std::sig_atomic_t rank_process = 0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// The signals that ask a rank to stop. Launchers mostly signal the whole process group, so the rank may get
// one twice: that is one request. SIGINT goes on as SIGTERM, since a second SIGINT means more.
void pass_on(int signal) {
  const int saved = errno;
  if (rank_process > 0) ::kill(rank_process, signal == SIGINT ? SIGTERM : signal);
  errno = saved;
}

void install_signals() {
  struct sigaction action {};
  action.sa_handler = pass_on;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
}

struct Shown {
  std::unique_ptr<Board> board;
  std::int64_t rank = -1;
};

// A rank with room for one descriptor, as sendmsg and recvmsg want it. Points into itself.
struct Envelope {
  explicit Envelope(std::int64_t& rank) : data{&rank, sizeof(rank)} {
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  Envelope(const Envelope&) = delete;
  Envelope& operator=(const Envelope&) = delete;

  iovec data;
  msghdr message{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
};

Shown receive(int socket) {
  Shown shown;
  Envelope envelope(shown.rank);
  if (::recvmsg(socket, &envelope.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(shown.rank)) return {};
  const cmsghdr* header = CMSG_FIRSTHDR(&envelope.message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof(descriptor));
  shown.board = Board::adopt(descriptor);
  if (shown.board != nullptr && (shown.rank < 0 || shown.rank >= shown.board->ranks())) shown.board.reset();
  return shown;
}

// Long enough for the others to look twice, write what they know and print it.
constexpr std::chrono::milliseconds kPatience(2200);

// The rank's process ended without a word. The other ranks are told, and tell.
int report_loss(const Shown& shown, int signal, int lost_code) {
  const std::string how =
      signal != 0 ? fmt::format("was ended by signal {} ({})", signal, strsignal(signal)) : "ended early";
  if (shown.board != nullptr) {
    RankStatus& status = shown.board->status(shown.rank);
    SharedVerdict& verdict = shown.board->verdict();
    status.end_signal.store(signal);
    status.life.store(static_cast<std::uint64_t>(Life::gone), std::memory_order_release);
    for (std::int64_t rank = 0; rank < shown.board->ranks(); ++rank) {
      const RankStatus& other = shown.board->status(rank);
      // A rank with an error of its own has ended all; it tells why.
      if (static_cast<Life>(other.life.load()) == Life::failing)
        return static_cast<int>(other.exit_code.load());
    }
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end && verdict.printed.load() == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (verdict.printed.load() != 0) {
      // The rank that has printed ends first, so that its code is the job's.
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return static_cast<int>(verdict.exit_code.load());
    }
    if (verdict.told.exchange(1) != 0) return lost_code;
  }
  fmt::print(stderr, "the process of rank {} {} (exit code {})\n",
             shown.rank >= 0 ? fmt::format("{}", shown.rank) : "?", how, lost_code);
  return lost_code;
}

[[noreturn]] void guard(pid_t rank, int socket, int lost_code) {
  rank_process = rank;
  install_signals();
  int status = 0;
  while (::waitpid(rank, &status, 0) < 0 && errno == EINTR) {
  }
  rank_process = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) std::_Exit(WEXITSTATUS(status));
  const Shown shown = receive(socket);
  const bool finished = shown.board != nullptr &&
                        static_cast<Life>(shown.board->status(shown.rank).life.load()) == Life::finished;
  if (finished || (WIFEXITED(status) && shown.board == nullptr))
    std::_Exit(WIFEXITED(status) ? 0 : lost_code);
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  const int code = report_loss(shown, signal, lost_code);
  std::fflush(stderr);
  std::_Exit(code);
}

// Variables that launchers set for each process, with the number of ranks of the job.
bool several_ranks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"}) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    int ranks = 0;
    const std::string_view view(text);
    std::from_chars(view.data(), view.data() + view.size(), ranks);
    return ranks > 1;
  }
  return false;
}

}  // namespace

GuardianLink::~GuardianLink() {
  if (socket_ >= 0) ::close(socket_);
}

void GuardianLink::show(const Board& board, std::int64_t rank) const {
  if (socket_ < 0) return;
  Envelope envelope(rank);
  cmsghdr* header = CMSG_FIRSTHDR(&envelope.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int descriptor = board.descriptor();
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof(descriptor));
  // Without it the guardian still ends with the right code; the others find out by themselves.
  [[maybe_unused]] const ssize_t sent = ::sendmsg(socket_, &envelope.message, MSG_NOSIGNAL);
}

GuardianLink start_guardian(int lost_code) {
  if (!several_ranks() || is_traced()) return {};
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) return {};
  const pid_t parent = ::getpid();
  const pid_t rank = ::fork();
  if (rank < 0) return {};  // short of processes: the rank runs without
  if (rank > 0) {
    ::close(sockets[1]);
    guard(rank, sockets[0], lost_code);
  }
  ::close(sockets[0]);
  // A guardian that is killed takes its rank along, or the launcher would lose sight of it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) std::_Exit(lost_code);
  return GuardianLink(sockets[1]);
}

}  // namespace switchyard::parallel
