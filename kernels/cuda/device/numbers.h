// Numbers in device code: fp32 in registers, fp32 or bf16 in memory, and functions whose every rounding is
// written down, so that the host form of a kernel gives the bits of the device (nothing is contracted:
// -fmad=false).
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

__device__ __forceinline__ float to_float(float value) {
  return value;
}
__device__ __forceinline__ float to_float(BFloat16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

/// Rounded to nearest even.
template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ BFloat16 from_float<BFloat16>(float value) {
  BFloat16 out;
  const auto quiet =
      static_cast<std::uint16_t>(__float_as_uint(value) >> 16 | 0x0040U);  // the device has one NaN
  out.bits = value != value ? quiet : static_cast<__nv_bfloat16_raw>(__float2bfloat16_rn(value)).x;
  return out;
}

/// e^x to about 1 ulp by the method of kernels/cpu/simd.h: below -87.3 it gives 2^-126, above 88.3 e^88.3;
/// NaN stays.
__device__ __forceinline__ float exponential(float x) {
  const float limited = x > 88.3F ? 88.3F : x < -87.3F ? -87.3F : x;
  const float n = rintf(limited * 1.44269504F);
  float r = fmaf(n, -0.693359375F, limited);
  r = fmaf(n, 2.12194440e-4F, r);
  float p = 1.0F / 5040;
  p = fmaf(p, r, 1.0F / 720);
  p = fmaf(p, r, 1.0F / 120);
  p = fmaf(p, r, 1.0F / 24);
  p = fmaf(p, r, 1.0F / 6);
  p = fmaf(p, r, 0.5F);
  p = fmaf(p, r * r, r);
  const float power = __int_as_float((__float2int_rn(n) + 127) << 23);
  return fmaf(p, power, power);
}

/// 1 / (1 + e^-x)
__device__ __forceinline__ float sigmoid(float x) {
  return 1.0F / (1.0F + exponential(0.0F - x));
}

/// log(sum(e^(x - largest))) + largest, given that sum; in double, rounded once.
__device__ __forceinline__ float log_sum(float largest, float total) {
  return static_cast<float>(static_cast<double>(largest) + log(static_cast<double>(total)));
}

}  // namespace switchyard::kernels::cuda
