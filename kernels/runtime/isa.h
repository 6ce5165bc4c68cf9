// Instruction-set levels of the CPU back end, chosen at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace switchyard::kernels {

/// In order: each level has all that those before it have. avx512_bf16 and amx differ from avx512 in bf16
/// products and attention only.
enum class Isa : std::uint8_t { generic, avx2, avx512, avx512_bf16, amx };

std::string_view isa_name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);
/// The highest level this processor and operating system offer.
Isa detected_isa();
/// detected_isa(), lowered by the environment variable SWITCHYARD_ISA (a name of a level).
/// Throws UserError when it names an unknown level or one the processor lacks.
Isa chosen_isa();
/// Every level that can run here, lowest first.
std::vector<Isa> available_isas();

/// Whether the tile registers are there and this process may use them. Asks the kernel for them at the first
/// call: before that, and for a thread that began before it, tile instructions are illegal. A context of
/// level amx runs without them too, through an emulation of the instructions: tests do that.
bool amx_is_usable();

}  // namespace switchyard::kernels
