// The tokenizer of a model as the files that a Hugging Face folder has beside the weights, and back.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "app/hugging_face/import/model_folder.h"
#include "data/text/tokenizer.h"

namespace switchyard::app {

/// tokenizer.json and tokenizer_config.json by name, such that the `tokenizers` package gives the same ids.
/// The byte tokenizer becomes a byte-level BPE without merges, whose ids are the bytes.
std::map<std::string, std::string> tokenizer_files(const data::Tokenizer& tokenizer, std::int64_t max_tokens);

struct FolderTokenizer {
  std::string name;         ///< empty: the folder has none
  std::string json;         ///< data::Tokenizer::to_json; "bytes" where there is none
  std::int64_t vocab_size;  ///< its ids are in [0, vocab_size); 0 where there is none
};
/// The tokenizer of a folder. What tokenizer_files makes of the byte tokenizer is the byte tokenizer again.
/// Throws DataError for a tokenizer.json that is refused.
FolderTokenizer read_tokenizer(ModelFolder& folder);

}  // namespace switchyard::app
