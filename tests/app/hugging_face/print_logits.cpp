// For comparisons with other programs: the logits after each token of a sequence.
//   print_logits RUN OUTPUT TOKEN...
// Writes (tokens, V) f32 to OUTPUT, in the machine's byte order.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "app/trained/trained_model.h"
#include "moe/decode/generator.h"

int main(int count, char** words) {
  using namespace switchyard;
  if (count < 4) {
    std::fprintf(stderr, "usage: print_logits RUN OUTPUT TOKEN...\n");
    return 2;
  }
  app::TrainedModel trained(words[1], 1);
  std::ofstream out(words[2], std::ios::binary | std::ios::trunc);
  moe::Generator generator(trained.model(), trained.config().model.max_sequence_length);
  for (int i = 3; i < count; ++i) {
    const ConstTensorView logits = generator.feed(trained.context(), {std::atoi(words[i])});
    out.write(reinterpret_cast<const char*>(logits.data<float>()),
              static_cast<std::streamsize>(logits.bytes()));
  }
  return out.flush() ? 0 : 1;
}
