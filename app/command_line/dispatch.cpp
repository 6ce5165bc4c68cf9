#include "app/command_line/dispatch.h"

#include <fmt/format.h>

#include <cstdio>
#include <new>

#include "app/build_info.h"
#include "app/commands/help.h"
#include "app/exit_code.h"
#include "app/terminal/colour.h"
#include "app/terminal/format.h"
#include "app/terminal/result.h"
#include "app/terminal/suggest.h"
#include "kernels/runtime/isa.h"

namespace switchyard::app {

namespace {

struct Advice {
  std::string_view what;
  std::string_view action;
};

Advice advice(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::user:
      return {"the command line or the configuration is wrong",
              "change what is named above; `switchyard help config` explains every key"};
    case ErrorKind::data:
      return {"the data cannot be used", "mend or write again the file named above"};
    case ErrorKind::checkpoint:
      return {"no checkpoint can be used", "check the folder named above; nothing in it was changed"};
    case ErrorKind::disk:
      return {"the disk refused", "free or mend the disk, then run the same command again"};
    case ErrorKind::numerics:
      return {"the numbers went wrong",
              "look at the metrics of the last steps; the last checkpoint is untouched"};
    case ErrorKind::hang:
      return {"no progress within the limit",
              "look at the rank named above, then run the same command again"};
    case ErrorKind::peer:
      return {"another rank failed", "its own message says why; then run the same command again"};
    case ErrorKind::device:
      return {"the accelerator failed or is missing", "check the device, or set run.device: cpu"};
    case ErrorKind::internal:
      break;
  }
  return {"the program broke a promise of its own",
          "please report this with the command and the output of --version"};
}

Failure block(int code, std::string_view command, Advice advice, std::string_view message) {
  std::string text = fmt::format("switchyard{}{}: {} (exit code {})\n", command.empty() ? "" : " ", command,
                                 advice.what, code);
  while (!message.empty()) {
    const std::size_t length = std::min(message.find('\n'), message.size());
    text += fmt::format("  {}\n", message.substr(0, length));
    message.remove_prefix(std::min(length + 1, message.size()));
  }
  text += fmt::format("  What to do: {}\n", advice.action);
  return {code, text};
}

int run_words(const std::vector<std::string>& words, std::string& command_name) {
  if (words.empty()) {
    std::fputs(program_help().c_str(), stderr);
    return kExitUsage;
  }
  const std::string& first = words[0];
  if (first == "--help" || first == "-h") {
    print_result(program_help());
    return kExitDone;
  }
  if (first == "--version") {
    print_result(version_text());
    return kExitDone;
  }
  const Command& command = known_command(first);
  command_name = first;
  return command.run({words.begin() + 1, words.end()});
}

void print_failure(const Failure& failure) {
  const std::size_t head = failure.text.find('\n');
  const bool colour = use_colour(stderr);
  const std::string text =
      coloured(failure.text.substr(0, head), Colour::red, colour) + failure.text.substr(head);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

const Command& known_command(std::string_view name) {
  if (const Command* command = find_command(name)) return *command;
  std::vector<std::string> names;
  for (const Command& command : command_table()) names.emplace_back(command.name);
  const auto nearest = nearest_name(name, names);
  throw UserError(
      fmt::format("there is no command {}; {}", printable(name),
                  nearest ? fmt::format("did you mean {}?", *nearest) : "see `switchyard --help`"));
}

Failure describe_failure(const std::exception_ptr& error, std::string_view command) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    return block(exit_code(known.kind()), command, advice(known.kind()), known.what());
  } catch (const std::bad_alloc&) {
    return block(kExitInternal, command,
                 {"out of memory", "use a smaller model or train.micro_batch, or more memory"},
                 "an allocation in host memory failed");
  } catch (const std::exception& unknown) {
    return block(kExitInternal, command, advice(ErrorKind::internal), unknown.what());
  } catch (...) {
    return block(kExitInternal, command, advice(ErrorKind::internal), "an exception of unknown type");
  }
}

std::string version_text() {
  const BuildInfo& info = build_info();
  return fmt::format(
      "switchyard {}\ncommit    {}\ncompiler  {}, {}\nMPI       {}\nHDF5      {}\nCUDA      {}\nprocessor "
      "{}\n",
      info.version, info.commit, info.compiler, info.mode, info.mpi, info.hdf5, info.cuda,
      kernels::isa_name(kernels::chosen_isa()));
}

int run_program(const std::vector<std::string>& words) noexcept {
  std::string command;
  try {
    return run_words(words, command);
  } catch (...) {
    try {
      const Failure failure = describe_failure(std::current_exception(), command);
      std::fflush(stdout);
      print_failure(failure);
      return failure.exit_code;
    } catch (...) {
      std::fputs("switchyard: out of memory while reporting a failure\n", stderr);
      return kExitInternal;
    }
  }
}

}  // namespace switchyard::app
