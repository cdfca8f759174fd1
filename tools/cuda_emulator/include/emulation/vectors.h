// CUDA's vector types, with the alignment they have on the device: a misaligned access is an error there and, under
// UBSan, here.
#pragma once

#include <cstdint>

#define EMULATION_VECTORS(type, name)                             \
  struct alignas(2 * sizeof(type)) name##2 {                      \
    type x, y;                                                    \
  };                                                              \
  struct name##3 {                                                \
    type x, y, z;                                                 \
  };                                                              \
  struct alignas(16) name##4 {                                    \
    type x, y, z, w;                                              \
  };                                                              \
  inline name##2 make_##name##2(type x, type y) {                 \
    return {x, y};                                                \
  }                                                               \
  inline name##4 make_##name##4(type x, type y, type z, type w) { \
    return {x, y, z, w};                                          \
  }

EMULATION_VECTORS(float, float)
EMULATION_VECTORS(int32_t, int)
EMULATION_VECTORS(uint32_t, uint)
EMULATION_VECTORS(double, double)
EMULATION_VECTORS(long long, longlong)
#undef EMULATION_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
