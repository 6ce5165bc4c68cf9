// The command that a supervisor repeats, understood as far as it must change: ranks, hosts, layout, and
// options that are meant for the first attempt only. No MPI is needed to read or write it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "app/config/config.h"

namespace switchyard::app {

struct Host {
  std::string name;
  std::int64_t slots = 1;
  bool operator==(const Host&) const = default;
};

/// One host per line: "name", "name slots=4" or "name:4"; '#' starts a comment. Throws UserError naming file
/// and line for anything else, and if the file cannot be read.
std::vector<Host> read_host_file(const std::filesystem::path& file);
/// "a:2,b,c:4", as mpirun's --host takes it. Throws UserError.
std::vector<Host> parse_host_list(std::string_view text);
/// Names of hosts, one per line, '#' starts a comment. A file that is absent names none. Throws UserError.
std::set<std::string> read_gone_hosts(const std::filesystem::path& file);

struct Layout {
  std::int64_t ranks = 1;
  std::int64_t expert_axis = 1;
  bool operator==(const Layout&) const = default;
};

/// What still fits when only `slots` ranks can run: the largest expert axis that is at most the wanted one,
/// divides the experts and fits, since a smaller one would put more experts on each rank; then as many ranks
/// as are a multiple of it and at most those wanted. Throws UserError if slots < 1.
Layout layout_for(const Config& config, Layout wanted, std::int64_t slots);

class LaunchCommand {
 public:
  /// `words` as given after "--": a launcher (mpirun, mpiexec, orterun, prterun, srun, launch) with its
  /// options and the program, or the program alone. Throws UserError if there is no word, or a rank count is
  /// not a number.
  explicit LaunchCommand(std::vector<std::string> words);

  const std::vector<std::string>& words() const { return words_; }
  bool has_launcher() const { return launcher_ != Launcher::none; }
  /// mpirun and its like kill their ranks a second after SIGTERM; SIGUSR1 they pass on.
  bool kills_on_sigterm() const { return launcher_ == Launcher::mpirun; }
  /// The ranks asked for; 1 without a launcher, empty where the launcher decides by itself.
  std::optional<std::int64_t> ranks() const;
  /// Hosts that the launcher's own options name: --hostfile FILE or --host LIST.
  std::optional<std::vector<Host>> hosts() const;
  /// The configuration that `train` is given, if the command is such. Throws as load_config.
  std::optional<Config> config() const;

  /// The same command for a layout, on `hosts` (written to `host_file` if the command names a file); empty
  /// hosts leave the hosts as they are. Throws UserError where the command has no place for them, DiskError.
  std::vector<std::string> with(const Layout& layout, const std::vector<Host>& hosts,
                                const std::filesystem::path& host_file) const;
  /// Without what must happen once: --fresh, and --inject with its value.
  static std::vector<std::string> without_first_attempt_options(std::vector<std::string> words);

 private:
  enum class Launcher { none, mpirun, srun, launch };
  struct Value {
    std::size_t index = 0;  // of the word that holds the value
    std::string prefix;     // "--ntasks=" where value and option are one word
  };
  std::optional<Value> find_value(std::initializer_list<std::string_view> options) const;
  std::string value_at(const Value& value) const;

  std::vector<std::string> words_;
  Launcher launcher_ = Launcher::none;
  std::size_t program_ = 0;  // where the launcher's own words end
};

}  // namespace switchyard::app
