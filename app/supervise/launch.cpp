#include "app/supervise/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "app/command_line/arguments.h"
#include "app/config/rules.h"
#include "app/terminal/format.h"
#include "data/storage/file.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

/// The lines of a file without comments and the space around them; empty ones left out, with their numbers.
std::vector<std::pair<int, std::string>> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw UserError(fmt::format("supervise: the list of hosts {} cannot be read", file.string()));
  std::vector<std::pair<int, std::string>> lines;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    line.resize(std::min(line.find('#'), line.size()));
    const auto begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos) continue;
    const auto end = line.find_last_not_of(" \t\r");
    lines.emplace_back(number, line.substr(begin, end - begin + 1));
  }
  return lines;
}

/// "name" or "name:4".
std::optional<Host> host_of(std::string_view text) {
  const auto colon = text.find(':');
  const auto slots = colon == std::string_view::npos ? 1 : whole_number(text.substr(colon + 1));
  if (!slots || colon == 0 || text.empty() || text.find_first_of(" \t=") != std::string_view::npos)
    return std::nullopt;
  return Host{std::string(text.substr(0, colon)), *slots};
}

}  // namespace

std::vector<Host> read_host_file(const std::filesystem::path& file) {
  std::vector<Host> hosts;
  for (const auto& [number, line] : lines_of(file)) {
    std::istringstream parts(line);
    std::string name, option, rest;
    parts >> name >> option >> rest;
    std::optional<Host> host = host_of(name);
    if (host && !option.empty()) {
      const auto slots = option.starts_with("slots=") ? whole_number(option.substr(6)) : std::nullopt;
      if (!slots || !rest.empty())
        host.reset();
      else
        host->slots = *slots;
    }
    if (!host)
      throw UserError(
          fmt::format("{}:{}: a line must be a host, with `slots=N` where it takes more than one "
                      "rank; got {}",
                      file.string(), number, printable(line)));
    hosts.push_back(*host);
  }
  return hosts;
}

std::vector<Host> parse_host_list(std::string_view text) {
  std::vector<Host> hosts;
  std::istringstream parts{std::string(text)};
  for (std::string part; std::getline(parts, part, ',');) {
    const auto host = host_of(part);
    if (!host)
      throw UserError(fmt::format("supervise: --host must be a list like a:4,b:4; got {}", printable(text)));
    hosts.push_back(*host);
  }
  return hosts;
}

std::set<std::string> read_gone_hosts(const std::filesystem::path& file) {
  std::set<std::string> names;
  if (!std::filesystem::exists(file)) return names;
  for (const auto& [number, line] : lines_of(file)) names.insert(line);
  return names;
}

Layout layout_for(const Config& config, Layout wanted, std::int64_t slots) {
  if (slots < 1)
    throw UserError("supervise: no host is left to run on; mend the list that --gone names, or --hosts");
  const std::int64_t most = std::min(wanted.ranks, slots);
  const std::int64_t experts = config.model.moe.experts;
  std::int64_t axis = experts == 0 ? 1 : std::min(wanted.expert_axis, most);
  while (axis > 1 && experts % axis != 0) --axis;
  return {most / axis * axis, axis};
}

LaunchCommand::LaunchCommand(std::vector<std::string> words) : words_(std::move(words)) {
  if (words_.empty()) throw UserError("supervise: there must be a command after --; got none");
  const std::string first = std::filesystem::path(words_[0]).filename().string();
  if (first == "mpirun" || first == "mpiexec" || first == "orterun" || first == "prterun")
    launcher_ = Launcher::mpirun;
  else if (first == "srun")
    launcher_ = Launcher::srun;
  else if (first == "launch")
    launcher_ = Launcher::launch;
  program_ = launcher_ == Launcher::none ? 0 : words_.size();
  for (std::size_t i = 1; i < words_.size() && program_ == words_.size(); ++i)
    if (words_[i] == "train" && !words_[i - 1].starts_with('-')) program_ = i - 1;
  ranks();
}

std::optional<LaunchCommand::Value> LaunchCommand::find_value(
    std::initializer_list<std::string_view> options) const {
  std::optional<Value> found;  // of several, launchers take the last
  for (std::size_t i = 1; i < program_; ++i)
    for (const std::string_view option : options) {
      const std::string joined = fmt::format("{}=", option);
      if (words_[i] == option && i + 1 < program_)
        found = Value{i + 1, ""};
      else if (option.starts_with("--") && words_[i].starts_with(joined))
        found = Value{i, joined};
    }
  return found;
}

std::string LaunchCommand::value_at(const Value& value) const {
  return words_[value.index].substr(value.prefix.size());
}

std::optional<std::int64_t> LaunchCommand::ranks() const {
  if (launcher_ == Launcher::none) return 1;
  const auto value = find_value({"-n", "-np", "--np", "--n", "-c", "--ntasks"});
  if (!value) return launcher_ == Launcher::launch ? std::optional<std::int64_t>(2) : std::nullopt;
  const auto count = whole_number(value_at(*value));
  if (!count)
    throw UserError(
        fmt::format("supervise: the number of ranks of {} must be a whole number of at least 1; got {}",
                    words_[0], printable(value_at(*value))));
  return count;
}

std::optional<std::vector<Host>> LaunchCommand::hosts() const {
  if (launcher_ != Launcher::mpirun) return std::nullopt;
  if (const auto file = find_value({"--hostfile", "-hostfile", "--machinefile", "-machinefile"}))
    return read_host_file(value_at(*file));
  if (const auto list = find_value({"--host", "-host", "-H"})) return parse_host_list(value_at(*list));
  return std::nullopt;
}

std::optional<Config> LaunchCommand::config() const {
  if (program_ + 1 >= words_.size() || words_[program_ + 1] != "train") return std::nullopt;
  CLI::App command("", "switchyard train");
  ConfigArguments arguments;
  add_config_arguments(command, arguments);
  command.allow_extras();
  const auto first = words_.begin() + static_cast<std::ptrdiff_t>(program_) + 2;
  if (!parse_arguments(command, Arguments(first, words_.end()))) return std::nullopt;
  return load_config(arguments);
}

std::vector<std::string> LaunchCommand::with(const Layout& layout, const std::vector<Host>& hosts,
                                             const std::filesystem::path& host_file) const {
  std::vector<std::string> words = words_;
  const auto put = [&](const Value& value, const std::string& text) {
    words[value.index] = value.prefix + text;
  };
  if (!hosts.empty() && launcher_ == Launcher::mpirun) {
    std::string lines, list;
    for (const Host& host : hosts) {
      lines += fmt::format("{} slots={}\n", host.name, host.slots);
      list += fmt::format("{}{}:{}", list.empty() ? "" : ",", host.name, host.slots);
    }
    if (const auto file = find_value({"--hostfile", "-hostfile", "--machinefile", "-machinefile"})) {
      data::write_file_atomically(host_file, lines);
      put(*file, host_file.string());
    } else if (const auto value = find_value({"--host", "-host", "-H"})) {
      put(*value, list);
    }
  }
  std::size_t inserted = 0;
  if (const auto value = find_value({"-n", "-np", "--np", "--n", "-c", "--ntasks"})) {
    put(*value, std::to_string(layout.ranks));
  } else if (launcher_ != Launcher::none) {
    words.insert(words.begin() + 1, {"-n", std::to_string(layout.ranks)});
    inserted = 2;
  } else if (layout.ranks != 1) {
    throw UserError(fmt::format("supervise: {} must be a launcher for more than one rank", words_[0]));
  }
  // The later --set wins, so what the command says of the axis may stay.
  if (program_ + inserted + 1 < words.size() && words[program_ + inserted + 1] == "train")
    words.insert(words.end(), {"--set", fmt::format("parallel.expert={}", layout.expert_axis)});
  return words;
}

std::vector<std::string> LaunchCommand::without_first_attempt_options(std::vector<std::string> words) {
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--fresh" || words[i].starts_with("--inject=")) continue;
    if (words[i] == "--inject") {
      ++i;
      continue;
    }
    kept.push_back(words[i]);
  }
  return kept;
}

}  // namespace switchyard::app
