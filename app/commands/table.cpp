#include <algorithm>

#include "app/commands/command.h"
#include "app/commands/evaluate.h"
#include "app/commands/export.h"
#include "app/commands/generate.h"
#include "app/commands/help.h"
#include "app/commands/import.h"
#include "app/commands/inspect.h"
#include "app/commands/prepare.h"
#include "app/commands/schema.h"
#include "app/commands/supervise.h"
#include "app/commands/train.h"
#include "app/commands/verify.h"

namespace switchyard::app {

std::span<const Command> command_table() {
  static constexpr Command table[] = {
      {"prepare", "TEXT... --output DIR", "turn text into token shards with a held-out split",
       CommandGroup::data, run_prepare},
      {"train", "CONFIG [--set k=v]", "train a model, or resume it", CommandGroup::training, run_train},
      {"supervise", "[options] -- COMMAND...", "keep a training command running until it is done",
       CommandGroup::training, run_supervise},
      {"generate", "RUN --prompt TEXT", "continue a prompt with a trained model", CommandGroup::model,
       run_generate},
      {"evaluate", "RUN [--data DIR]", "loss of a trained model on prepared data", CommandGroup::model,
       run_evaluate},
      {"export", "RUN --output DIR", "write a trained model as a Hugging Face folder", CommandGroup::model,
       run_export},
      {"import", "DIR --output RUN", "make a checkpoint of a Hugging Face folder", CommandGroup::model,
       run_import},
      {"inspect", "PATH [--digest]", "look into a shard, checkpoint, run or flight record",
       CommandGroup::looking, run_inspect},
      {"verify", "CONFIG [--set k=v]", "show that a layout changes no bit", CommandGroup::looking,
       run_verify},
      {"schema", "[--markdown]", "print the JSON Schema of configuration files", CommandGroup::program,
       run_schema},
      {"help", "[COMMAND | config [SECTION]]", "explain a command or the configuration's keys",
       CommandGroup::program, run_help},
  };
  return table;
}

const Command* find_command(std::string_view name) {
  const auto all = command_table();
  const auto found = std::ranges::find(all, name, &Command::name);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace switchyard::app
