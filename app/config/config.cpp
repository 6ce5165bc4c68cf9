#include "app/config/config.h"

namespace switchyard::app {

Config default_config() {
  Config config;
  config.model.vocab_size = 0;
  config.model.kv_heads = 0;
  return config;
}

void resolve(Config& config) {
  if (config.run.directory.empty()) config.run.directory = "runs/" + config.run.name;
  if (config.model.kv_heads == 0) config.model.kv_heads = config.model.heads;
  if (config.model.max_sequence_length == 0) config.model.max_sequence_length = config.data.sequence_length;
}

}  // namespace switchyard::app
