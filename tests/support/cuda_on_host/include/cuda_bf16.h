// Stands in for CUDA's header of the same name: the type and the conversions that Switchyard uses.
#pragma once

#include "kernels/runtime/dtype.h"
#include "tests/support/cuda_on_host/device_functions.h"

// NOLINTBEGIN: these are CUDA's names.
struct __nv_bfloat16_raw {
  unsigned short x;
};
struct __nv_bfloat16 {
  unsigned short bits = 0;
  __nv_bfloat16() = default;
  __nv_bfloat16(__nv_bfloat16_raw raw) : bits(raw.x) {}
  operator __nv_bfloat16_raw() const { return {bits}; }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

/// To nearest even; every NaN becomes the same one, as on a device.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  if (value != value) return __nv_bfloat16_raw{0x7fff};
  return __nv_bfloat16_raw{switchyard::BFloat16(value).bits};
}
inline float __bfloat162float(__nv_bfloat16 value) {
  switchyard::BFloat16 same;
  same.bits = value.bits;
  return static_cast<float>(same);
}
inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high) {
  return {__float2bfloat16_rn(low), __float2bfloat16_rn(high)};
}
// NOLINTEND
