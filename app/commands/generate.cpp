#include "app/commands/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "app/command_line/arguments.h"
#include "app/command_line/device_option.h"
#include "app/exit_code.h"
#include "app/terminal/format.h"
#include "app/trained/trained_model.h"
#include "data/text/utf8.h"
#include "moe/decode/generator.h"
#include "moe/decode/sampler.h"

namespace switchyard::app {

int run_generate(const Arguments& arguments) {
  CLI::App command(
      "Continue a prompt with the newest checkpoint of a run, or with one checkpoint:\n"
      "  switchyard generate runs/quickstart --prompt \"To open a file\" --tokens 200\n"
      "The text goes to stdout as it is made. The same seed gives the same text.",
      "switchyard generate");
  std::filesystem::path path;
  std::string prompt;
  std::int64_t tokens = 200;
  int threads = 0;
  DeviceChoice device = DeviceChoice::cpu;
  moe::SamplerOptions sampler;
  sampler.temperature = 0.8;
  LogOptions log;
  log.level = "warn";
  command.add_option("RUN", path, "run folder or checkpoint folder")->required();
  command.add_option("--prompt,-p", prompt, "text to continue; empty starts a document");
  command.add_option("--tokens,-n", tokens, "most tokens to add")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command.add_option("--temperature", sampler.temperature, "0 = always the most likely token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-k", sampler.top_k, "choose among the k most likely; 0 = all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--top-p", sampler.top_p, "choose among the fewest that reach this probability")
      ->capture_default_str()
      ->check(CLI::Range(1e-9, 1.0));
  command.add_option("--seed", sampler.seed, "of the choices")->capture_default_str();
  command.add_option("--threads", threads, "0 = all cores; does not change the text")->capture_default_str();
  add_device_option(command, device);
  add_log_arguments(command, log);
  if (!parse_arguments(command, arguments)) return kExitDone;
  set_up_log(log);

  TrainedModel trained(path, threads, device);
  std::vector<std::int32_t> next = {trained.tokenizer().end_of_document()};
  if (!prompt.empty()) {
    next.clear();
    trained.tokenizer().encode(prompt, next);
  }
  const std::int64_t capacity = trained.config().model.max_sequence_length;
  const auto prompt_tokens = static_cast<std::int64_t>(next.size());
  if (prompt_tokens >= capacity)
    throw UserError(
        fmt::format("--prompt must be shorter than the {} tokens the model was trained for; got {}", capacity,
                    prompt_tokens));
  moe::Generator generator(trained.model(), capacity);
  data::CharacterStream characters;  // a terminal never sees half of one
  const auto write = [&](const std::string& bytes) {
    fmt::print("{}", characters.push(bytes));
    std::fflush(stdout);
  };
  write(prompt);
  for (std::int64_t made = 0;
       made < tokens && generator.length() + static_cast<std::int64_t>(next.size()) <= capacity; ++made) {
    const ConstTensorView logits = generator.feed(trained.context(), next);
    const std::int32_t token = moe::sample_token(logits, sampler, static_cast<std::uint64_t>(made));
    if (token == trained.tokenizer().end_of_document() || token >= trained.tokenizer().vocab_size()) break;
    write(trained.tokenizer().decode(std::span(&token, 1)));
    next = {token};
  }
  fmt::print("{}\n", characters.finish());
  return kExitDone;
}

}  // namespace switchyard::app
