#include "kernels/runtime/isa.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string>

#include "kernels/runtime/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace switchyard::kernels {

namespace {

constexpr std::array kLevels{Isa::generic, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx};

// What amx_is_usable tells, asked of processor and kernel once for the whole process.
bool ask_for_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  // Bits of CPUID leaf 7 and of the register that says which state the operating system keeps.
  constexpr unsigned kTilesAndBf16 = (1U << 24) | (1U << 22);
  constexpr unsigned kTileState = (1U << 17) | (1U << 18);
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTilesAndBf16) != kTilesAndBf16) return false;
  unsigned state = 0, high = 0;
  asm volatile("xgetbv" : "=a"(state), "=d"(high) : "c"(0));
  if ((state & kTileState) != kTileState) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

std::string names_of_levels() {
  std::string names;
  for (const Isa isa : kLevels)
    names += fmt::format("{}{}", names.empty() ? "" : isa == kLevels.back() ? " or " : ", ", isa_name(isa));
  return names;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::generic:
      return "generic";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::amx:
      return "amx";
  }
  return "?";
}

std::optional<Isa> isa_from_name(std::string_view name) {
  for (const Isa isa : kLevels)
    if (isa_name(isa) == name) return isa;
  return std::nullopt;
}

Isa detected_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512) {
    if (!__builtin_cpu_supports("avx512bf16")) return Isa::avx512;
    return amx_is_usable() ? Isa::amx : Isa::avx512_bf16;
  }
  if (avx2) return Isa::avx2;
#endif
  return Isa::generic;
}

bool amx_is_usable() {
  static const bool usable = ask_for_tiles();
  return usable;
}

Isa chosen_isa() {
  const Isa detected = detected_isa();
  const char* wish = std::getenv("SWITCHYARD_ISA");
  if (wish == nullptr || *wish == '\0') return detected;
  const std::optional<Isa> isa = isa_from_name(wish);
  if (!isa) throw UserError(fmt::format("SWITCHYARD_ISA must be {}; got '{}'", names_of_levels(), wish));
  if (*isa > detected)
    throw UserError(
        fmt::format("SWITCHYARD_ISA={} is beyond this processor, which offers {}; unset it or lower it", wish,
                    isa_name(detected)));
  return *isa;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> result;
  for (const Isa isa : kLevels)
    if (isa <= detected_isa()) result.push_back(isa);
  return result;
}

}  // namespace switchyard::kernels
