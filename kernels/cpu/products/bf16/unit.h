// The unit that multiplies at the level this file is compiled for: how it wants its operands and how rows of
// a left operand meet a panel. Everything else is the same for both.
#pragma once

#if defined(__AMX_TILE__)
#include "kernels/cpu/products/bf16/tile_unit.h"
#include "kernels/runtime/isa.h"
#else
#include "kernels/cpu/products/bf16/dot_unit.h"
#endif

namespace switchyard::kernels {
namespace {

#if defined(__AMX_TILE__)

inline constexpr Backend kUnitBackend = Backend::amx;

/// visitor.operator()<Unit>() with the instructions where the processor has them, else with their emulation.
template <typename Visitor>
void with_unit(Visitor&& visitor) {
  if (amx_is_usable()) {
    visitor.template operator()<TileUnit<HardwareTiles>>();
  } else {
    visitor.template operator()<TileUnit<EmulatedTiles>>();
  }
}

#else

inline constexpr Backend kUnitBackend = Backend::avx512_bf16;

/// visitor.operator()<Unit>()
template <typename Visitor>
void with_unit(Visitor&& visitor) {
  visitor.template operator()<DotUnit>();
}

#endif

}  // namespace
}  // namespace switchyard::kernels
