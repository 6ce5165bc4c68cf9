#include "kernels/runtime/isa.h"

#include <fmt/format.h>

#include <cstdlib>

#include "kernels/runtime/error.h"

namespace switchyard::kernels {

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::generic:
      return "generic";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

std::optional<Isa> isa_from_name(std::string_view name) {
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512})
    if (isa_name(isa) == name) return isa;
  return std::nullopt;
}

Isa detected_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::generic;
}

Isa chosen_isa() {
  const Isa detected = detected_isa();
  const char* wish = std::getenv("SWITCHYARD_ISA");
  if (wish == nullptr || *wish == '\0') return detected;
  const std::optional<Isa> isa = isa_from_name(wish);
  if (!isa) throw UserError(fmt::format("SWITCHYARD_ISA must be generic, avx2 or avx512; got '{}'", wish));
  if (*isa > detected)
    throw UserError(
        fmt::format("SWITCHYARD_ISA={} is beyond this processor, which offers {}; unset it or lower it", wish,
                    isa_name(detected)));
  return *isa;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> result;
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512})
    if (isa <= detected_isa()) result.push_back(isa);
  return result;
}

}  // namespace switchyard::kernels
