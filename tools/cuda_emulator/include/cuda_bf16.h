// bfloat16 as stored, with CUDA's names for its conversions.
#pragma once

#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 x) {
  const uint32_t wide = static_cast<uint32_t>(x.bits) << 16;
  float out;
  std::memcpy(&out, &wide, sizeof out);
  return out;
}

// Nearest, ties to even; a nan stays one.
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  uint32_t wide;
  std::memcpy(&wide, &x, sizeof wide);
  const uint32_t rounded = x != x ? 0x7fff0000u : wide + 0x7fffu + ((wide >> 16) & 1u);
  return {static_cast<uint16_t>(rounded >> 16)};
}
