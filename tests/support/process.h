// A program run as a user runs it: its words, signals, streams and exit code.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace switchyard::test {

/// A folder of its own that goes with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& file);  ///< empty if there is none
/// Makes the folders on the way.
void write_file(const std::filesystem::path& file, const std::string& bytes);
/// A file that can be run; the text begins with "#!".
void write_script(const std::filesystem::path& file, const std::string& text);

/// Generous: the machine may be running much else.
inline constexpr std::chrono::seconds kPatience(240);

struct Outcome {
  int code = -1;           ///< exit code; 128 + N after signal N
  bool timed_out = false;  ///< it had to be killed
  std::string out;
  std::string err;
};

/// Output goes to files, so a program that writes much never waits for its reader, and what it has written
/// can be looked at while it runs.
class Process {
 public:
  struct Surroundings {
    std::filesystem::path folder;                    ///< to run in; empty = this one
    std::map<std::string, std::string> environment;  ///< added to this process's own
  };
  /// Starts words[0], looked up in PATH, as leader of a process group.
  Process(const std::vector<std::string>& words, const Surroundings& surroundings);
  /// Kills the whole group if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const;
  void signal_group(int number) const;
  bool is_running();
  /// Looks every few milliseconds until `holds`. False when the program ended first or time ran out.
  bool wait_until(const std::function<bool()>& holds, std::chrono::seconds limit = kPatience);
  /// Kills it when time runs out.
  Outcome wait(std::chrono::seconds limit = kPatience);
  std::string out_so_far() const { return read_file(streams_ / "out"); }
  std::string err_so_far() const { return read_file(streams_ / "err"); }

 private:
  Folder streams_;
  pid_t id_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

/// Runs to the end.
Outcome run(const std::vector<std::string>& words, const Process::Surroundings& surroundings = {});

int occurrences(const std::string& text, const std::string& part);

}  // namespace switchyard::test
