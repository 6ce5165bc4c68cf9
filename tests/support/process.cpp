#include "tests/support/process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace switchyard::test {

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "switchyard-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder " + name);
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return std::move(bytes).str();
}

void write_file(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << bytes;
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

void write_script(const std::filesystem::path& file, const std::string& text) {
  write_file(file, text);
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
}

namespace {

constexpr auto kPause = std::chrono::milliseconds(2);

// After fork: only calls that are safe there, and an exit code that no program of ours has.
[[noreturn]] void become(char* const* words, char* const* environment, const char* folder, const char* out,
                         const char* err) {
  constexpr int kCannotStart = 126;
  constexpr mode_t kMode = 0600;
  ::setpgid(0, 0);
  const int in = ::open("/dev/null", O_RDONLY);
  const int out_file = ::open(out, O_WRONLY | O_CREAT | O_TRUNC, kMode);
  const int err_file = ::open(err, O_WRONLY | O_CREAT | O_TRUNC, kMode);
  if (in < 0 || out_file < 0 || err_file < 0 || (*folder != '\0' && ::chdir(folder) != 0))
    ::_exit(kCannotStart);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out_file, STDOUT_FILENO);
  ::dup2(err_file, STDERR_FILENO);
  ::execvpe(words[0], words, environment);
  static constexpr char kMessage[] = "test: cannot start the program\n";
  if (::write(STDERR_FILENO, kMessage, sizeof kMessage - 1) < 0) ::_exit(kCannotStart);
  ::_exit(kCannotStart);
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!added.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

Process::Process(const std::vector<std::string>& words, const Surroundings& surroundings) {
  std::vector<std::string> own_words = words;
  std::vector<std::string> environment = environment_with(surroundings.environment);
  const std::vector<char*> word_pointers = pointers(own_words);
  const std::vector<char*> environment_pointers = pointers(environment);
  const std::string out = streams_ / "out", err = streams_ / "err";
  id_ = ::fork();
  if (id_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (id_ == 0)
    become(word_pointers.data(), environment_pointers.data(), surroundings.folder.c_str(), out.c_str(),
           err.c_str());
  ::setpgid(id_, id_);  // in both, so that neither comes too late
}

Process::~Process() {
  signal_group(SIGKILL);
  if (!ended_) ::waitpid(id_, &status_, 0);
}

void Process::signal(int number) const {
  if (!ended_) ::kill(id_, number);
}

void Process::signal_group(int number) const {
  ::kill(-id_, number);
}

bool Process::is_running() {
  if (!ended_) ended_ = ::waitpid(id_, &status_, WNOHANG) == id_;
  return !ended_;
}

bool Process::wait_until(const std::function<bool()>& holds, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (!is_running()) return holds();
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

Outcome Process::wait(std::chrono::seconds limit) {
  Outcome outcome;
  outcome.timed_out = !wait_until([this] { return !is_running(); }, limit);
  if (outcome.timed_out) {
    signal_group(SIGKILL);
    ::waitpid(id_, &status_, 0);
    ended_ = true;
  }
  constexpr int kSignalBase = 128;
  outcome.code = WIFEXITED(status_) ? WEXITSTATUS(status_) : kSignalBase + WTERMSIG(status_);
  outcome.out = read_file(streams_ / "out");
  outcome.err = read_file(streams_ / "err");
  return outcome;
}

Outcome run(const std::vector<std::string>& words, const Process::Surroundings& surroundings) {
  return Process(words, surroundings).wait();
}

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

}  // namespace switchyard::test
