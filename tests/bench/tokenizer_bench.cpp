// Speed of encoding with a tokenizer.json, on one thread:
//
//   tokenizer_bench TOKENIZER.json END_OF_DOCUMENT TEXT [ROUNDS]
//
// Prints megabytes of text per second for each round: the first begins with an empty cache of pieces.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "data/storage/file.h"
#include "data/text/bpe/bpe_tokenizer.h"
#include "kernels/runtime/error.h"

int main(int argc, char** argv) {
  using namespace switchyard::data;
  if (argc < 4) {
    fmt::print(stderr, "usage: tokenizer_bench TOKENIZER.json END_OF_DOCUMENT TEXT [ROUNDS]\n");
    return 2;
  }
  try {
    const auto tokenizer =
        BpeTokenizer::read(read_whole_file(argv[1], kMaxTokenizerJsonBytes), argv[2], argv[1]);
    const std::string text = read_whole_file(argv[3], 1ULL << 30);
    const int rounds = argc > 4 ? std::atoi(argv[4]) : 3;
    std::vector<std::int32_t> tokens;
    for (int round = 0; round < rounds; ++round) {
      tokens.clear();
      const auto start = std::chrono::steady_clock::now();
      tokenizer->encode(text, tokens);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      fmt::print("{:.2f} MB/s, {} tokens\n", static_cast<double>(text.size()) / 1e6 / seconds.count(),
                 tokens.size());
    }
  } catch (const switchyard::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
