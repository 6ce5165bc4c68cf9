// Instruction-set levels of the CPU back end, chosen at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace switchyard::kernels {

enum class Isa : std::uint8_t { generic, avx2, avx512 };

std::string_view isa_name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);
/// The highest level this processor and operating system offer.
Isa detected_isa();
/// detected_isa(), lowered by the environment variable SWITCHYARD_ISA (generic, avx2, avx512).
/// Throws UserError when it names an unknown level or one the processor lacks.
Isa chosen_isa();
/// Every level that can run here, lowest first.
std::vector<Isa> available_isas();

}  // namespace switchyard::kernels
