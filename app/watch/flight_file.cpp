#include "app/watch/flight_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>

#include "app/terminal/format.h"
#include "data/storage/file.h"
#include "kernels/runtime/error.h"
#include "parallel/watchdog/record/recorder.h"

namespace switchyard::app {

namespace {

constexpr std::size_t kLongestPath = 3000;
constexpr std::uint64_t kLargestFile = 16 << 20;
constexpr std::string_view kFields =
    R"(["sequence", "time_ns", "kind", "phase", "step", "unit", "layer", "collective", "call", "bytes", "group"])";

// Bytes on their way to a file, in memory of fixed size.
class Output {
 public:
  explicit Output(int file) : file_(file) {}
  template <typename... Args>
  void print(fmt::format_string<Args...> format, const Args&... args) {
    std::array<char, 512> line;  // NOLINT(cppcoreguidelines-pro-type-member-init): written before it is read
    const auto end = fmt::vformat_to_n(line.data(), line.size(), format, fmt::make_format_args(args...));
    add(std::string_view(line.data(), std::min<std::size_t>(end.size, line.size())));
  }
  void add(std::string_view text) {
    for (const char letter : text) {
      if (used_ == buffer_.size()) flush();
      buffer_[used_++] = letter;
    }
  }
  // A JSON string; bytes that are not plain ASCII become '?', so that any text makes a valid file.
  void add_string(std::string_view text) {
    add("\"");
    for (const char letter : text) {
      if (letter == '"' || letter == '\\') add("\\");
      if (letter == '\n')
        add("\\n");
      else
        add(letter >= ' ' && letter <= '~' ? std::string_view(&letter, 1) : "?");
    }
    add("\"");
  }
  bool flush() {
    std::size_t at = 0;
    while (is_good_ && at < used_) {
      const ssize_t written = ::write(file_, buffer_.data() + at, used_ - at);
      if (written < 0 && errno == EINTR) continue;
      is_good_ = written > 0;
      if (is_good_) at += static_cast<std::size_t>(written);
    }
    used_ = 0;
    return is_good_;
  }

 private:
  int file_;
  bool is_good_ = true;
  std::size_t used_ = 0;
  std::array<char, 8192> buffer_;  // NOLINT(cppcoreguidelines-pro-type-member-init)
};

std::int64_t unix_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

void add_event(Output& out, const parallel::Event& event) {
  const bool is_call = event.kind != parallel::EventKind::place && event.kind != parallel::EventKind::closing;
  out.print(R"([{}, {}, "{}", "{}", {}, {}, {}, )", event.sequence, event.time_ns,
            parallel::event_kind_name(event.kind), kernels::phase_name(event.place.phase), event.place.step,
            event.place.unit, event.place.layer);
  if (!is_call) return out.add("null, null, null, null]");
  out.print(R"("{}", {}, {}, )", parallel::collective_name(event.collective), event.call, event.bytes);
  out.add_string(event.group_name());
  out.add("]");
}

}  // namespace

FlightWriter::FlightWriter(const std::filesystem::path& folder, std::int64_t ranks)
    : parent_(folder.parent_path().string()), folder_(folder.string()), ranks_(ranks) {
  if (folder_.size() > kLongestPath)
    throw UserError(
        fmt::format("run.directory must be shorter than {} bytes; got {}", kLongestPath, folder_.size()));
}

bool FlightWriter::write(const Who& who, std::span<const parallel::Event> events,
                         std::string_view why) const noexcept {
  std::array<char, kLongestPath + 64> beside{}, name{};
  fmt::format_to_n(beside.data(), beside.size() - 1, "{}/.rank-{}.json.{}", folder_, who.rank, ::getpid());
  fmt::format_to_n(name.data(), name.size() - 1, "{}/rank-{}.json", folder_, who.rank);
  // They may be there; if they cannot be made, the file cannot either.
  ::mkdir(parent_.c_str(), 0777);
  ::mkdir(folder_.c_str(), 0777);
  const int file = ::open(beside.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return false;
  Output out(file);
  out.print(R"({{"switchyard_flight": 1, "rank": {}, "ranks": {}, "host": )", who.rank, ranks_);
  out.add_string(who.host);
  out.print(R"(, "process": {}, "why": )", who.process);
  out.add_string(why);
  out.print(", \"written_unix_ns\": {}, \"written_ns\": {},\n\"fields\": ", unix_ns(),
            parallel::monotonic_ns());
  out.add(kFields);
  out.add(",\n\"events\": [");
  for (std::size_t i = 0; i < events.size(); ++i) {
    out.add(i == 0 ? "\n" : ",\n");
    add_event(out, events[i]);
  }
  out.add("\n]}\n");
  const bool is_written = out.flush();
  const bool is_closed = ::close(file) == 0;
  return is_written && is_closed && ::rename(beside.data(), name.data()) == 0;
}

namespace {

template <typename Enum, typename NameOf>
Enum named(const nlohmann::json& word, int count, NameOf name_of) {
  for (int i = 0; i < count; ++i)
    if (name_of(static_cast<Enum>(i)) == word.get<std::string>()) return static_cast<Enum>(i);
  throw DataError(fmt::format("unknown word {}", printable(word.get<std::string>(), 40)));
}

parallel::Event event_of(const nlohmann::json& row) {
  parallel::Event event;
  event.sequence = row.at(0).get<std::int64_t>();
  event.time_ns = row.at(1).get<std::int64_t>();
  event.kind = named<parallel::EventKind>(row.at(2), 6, parallel::event_kind_name);
  event.place = {named<kernels::Phase>(row.at(3), kernels::kPhases, kernels::phase_name),
                 row.at(4).get<std::int64_t>(), row.at(5).get<std::int32_t>(), row.at(6).get<std::int32_t>()};
  if (row.at(7).is_null()) return event;
  event.collective =
      named<parallel::Collective>(row.at(7), parallel::kCollectives, parallel::collective_name);
  event.call = row.at(8).get<std::int64_t>();
  event.bytes = row.at(9).get<std::int64_t>();
  const auto group = row.at(10).get<std::string>();
  std::copy_n(group.begin(), std::min(group.size(), event.group.size()), event.group.begin());
  return event;
}

}  // namespace

FlightRecord read_flight(const std::filesystem::path& file) {
  try {
    const std::string text = data::read_whole_file(file, kLargestFile);
    const nlohmann::json json = nlohmann::json::parse(text);
    if (json.at("switchyard_flight").get<int>() != 1) throw DataError("of another version");
    FlightRecord record;
    record.rank = json.at("rank").get<std::int64_t>();
    record.ranks = json.at("ranks").get<std::int64_t>();
    record.process = json.at("process").get<std::int64_t>();
    record.host = json.at("host").get<std::string>();
    record.why = json.at("why").get<std::string>();
    record.written_ns = json.at("written_ns").get<std::int64_t>();
    for (const nlohmann::json& row : json.at("events")) record.events.push_back(event_of(row));
    return record;
  } catch (const std::exception& error) {
    throw DataError(
        fmt::format("{}: must be a flight record; {}", file.string(), printable(error.what(), 200)));
  }
}

std::filesystem::path newest_flight(const std::filesystem::path& folder) {
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_directory()) newest = std::max(newest, entry.path());
  return newest.empty() ? folder : newest;
}

std::vector<FlightRecord> read_flights(const std::filesystem::path& folder) {
  std::vector<FlightRecord> records;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("rank-") && name.ends_with(".json")) records.push_back(read_flight(entry.path()));
  }
  if (records.empty())
    throw UserError(fmt::format("{} must hold flight records (rank-N.json); got none", folder.string()));
  std::ranges::sort(records, {}, &FlightRecord::rank);
  return records;
}

}  // namespace switchyard::app
