// Element access and reductions for the bodies. Everything lives in the namespace of the instruction set being
// compiled: an inline function shared between objects would let the linker keep the AVX-512 copy for every CPU.
#pragma once

#include <cstdint>
#include <cstring>

#include "scalar.h"

namespace calig_fast::CALIG_ISA {

// bfloat16 as stored; arithmetic is in float32.
struct Bf16 {
  uint16_t bits;
};

// Calls f(T{}) for the element type.
template <typename F>
inline void with_type(Scalar scalar, F f) {
  switch (scalar) {
    case Scalar::f32:
      return f(float{});
    case Scalar::f64:
      return f(double{});
    case Scalar::bf16:
      return f(Bf16{});
    case Scalar::f16:
      return;  // refused by the callers
  }
}

inline float load(float x) {
  return x;
}
inline double load(double x) {
  return x;
}
inline float load(Bf16 x) {
  const uint32_t wide = static_cast<uint32_t>(x.bits) << 16;
  float out;
  std::memcpy(&out, &wide, sizeof out);
  return out;
}

inline void store(float* p, float x) {
  *p = x;
}
inline void store(double* p, double x) {
  *p = x;
}
// Round to nearest even; a nan stays a (quiet) nan.
inline void store(Bf16* p, float x) {
  uint32_t wide;
  std::memcpy(&wide, &x, sizeof wide);
  const uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
  p->bits = static_cast<uint16_t>(x != x ? (wide >> 16) | 0x40u : rounded);
}

inline float magnitude(float x) {
  return __builtin_fabsf(x);
}
inline double magnitude(double x) {
  return __builtin_fabs(x);
}

template <typename T>
struct Accumulate {
  using type = float;
};
template <>
struct Accumulate<double> {
  using type = double;
};

// sum_i x[i] y[i] over four independent chains, so that the additions' latency does not bound a stream from cache.
template <typename T>
inline typename Accumulate<T>::type dot(const T* x, const T* y, int64_t n) {
  using A = typename Accumulate<T>::type;
  constexpr int64_t kStep = 64;
  A s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int64_t j = 0; j < kStep / 4; ++j) {
      s0 += load(x[i + j]) * load(y[i + j]);
      s1 += load(x[i + kStep / 4 + j]) * load(y[i + kStep / 4 + j]);
      s2 += load(x[i + kStep / 2 + j]) * load(y[i + kStep / 2 + j]);
      s3 += load(x[i + 3 * kStep / 4 + j]) * load(y[i + 3 * kStep / 4 + j]);
    }
  }
  for (; i < n; ++i) s0 += load(x[i]) * load(y[i]);
  return (s0 + s1) + (s2 + s3);
}

}  // namespace calig_fast::CALIG_ISA
