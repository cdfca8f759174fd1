// exp and the normal distribution as polynomials that a loop over them vectorises, in float and double.
#pragma once

#include "simd.h"
#include "vector.h"

namespace calig_fast::CALIG_ISA {

// Polynomials fitted to the accuracy of the type: exp(r) over |r| <= log(2)/2; and the upper tail of the normal
// distribution over its density's exponential, P(X > x) exp(x^2/2), in u = 2/(1 + x/4) - 1 for x >= 0.
template <typename T>
struct Fitted;

template <>
struct Fitted<float> {
  using Bits = uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr float kRound = 12582912.0f + 127;  // 1.5 2^23, where numbers are integers, and the exponent's bias
  static constexpr float kLeast = -87.33f;
  static constexpr float kLog2High = 0.693359375f, kLog2Low = -2.12194440e-4f;
  static constexpr float kExp[] = {1.0f, 1.0f, 0.5f, 0.1666657703f, 0.04166655466f, 0.008363173075f, 0.001392617612f};
  static constexpr float kTail[] = {0.09441050887f, 0.17039908468f, 0.12438098341f,  0.07168603688f,
                                    0.03087287396f, 0.00858496688f, 0.000410581240f, -0.000745040481f};
};

template <>
struct Fitted<double> {
  using Bits = uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr double kRound = 6755399441055744.0 + 1023;  // 1.5 2^52
  static constexpr double kLeast = -708.39;
  static constexpr double kLog2High = 0x1.62e42fefp-1, kLog2Low = 7.4406171100123967161e-11;
  static constexpr double kExp[] = {1.0,
                                    1.0,
                                    0.500000000000000102,
                                    0.166666666666666675,
                                    0.0416666666666241619,
                                    0.00833333333333006445,
                                    0.00138888889171967191,
                                    0.000198412698630405453,
                                    2.48015213223686933e-5,
                                    2.75572684803100255e-6,
                                    2.76200758799833666e-7,
                                    2.51003758325612337e-8};
  static constexpr double kTail[] = {
      0.0944106413019689367,    0.17039772154845436,     0.124379255339263705,    0.071707407337829957,
      0.0308648041062912003,    0.00849209547970567605,  0.000507562075780869647, -0.000638813822965132589,
      -0.000187184278622329503, 4.55547036683773945e-5,  2.86484054124117185e-5,  -4.63078765212980289e-6,
      -4.3037963543616206e-6,   8.27411224786384537e-7,  6.62096618872350094e-7,  -2.02599052465660128e-7,
      -9.51077613528847312e-8,  4.90272501310471728e-8,  1.03025836598891308e-8,  -9.25116586448565888e-9,
      -3.84036795679138929e-10, 9.52702345278524153e-10, -6.11448271752980012e-11};
};

// A number or a vector of them: the type of one, and the bits of all.
template <typename T>
struct Parts {
  using Element = T;
  using Bits = typename Fitted<T>::Bits;
};
template <>
struct Parts<Vector<float>> {
  using Element = float;
  using Bits = Vector<uint32_t>;
};
template <>
struct Parts<Vector<double>> {
  using Element = double;
  using Bits = Vector<uint64_t>;
};

// sum_i c[i] x^i. Recursion, not a loop: inside a loop to be vectorised there must be no other.
template <int kFrom = 0, typename T, typename C, int kCount>
[[gnu::always_inline]] inline T polynomial(T x, const C (&c)[kCount]) {
  if constexpr (kFrom == kCount - 2) {
    return c[kFrom] + x * c[kFrom + 1];
  } else {
    return c[kFrom] + x * polynomial<kFrom + 1>(x, c);
  }
}

// exp(x) for x <= 0, a number or a vector; 0 instead of a denormal.
template <typename T>
[[gnu::always_inline]] inline T exponential(T x) {
  using F = Fitted<typename Parts<T>::Element>;
  using Bits = typename Parts<T>::Bits;
  // its lowest bits: n = round(x / log(2)), with the bias
  const T shifted = x * typename Parts<T>::Element(1.44269504088896340736) + F::kRound;
  const T n = shifted - F::kRound;
  const T r = (x - n * F::kLog2High) - n * F::kLog2Low;
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits <<= F::kMantissa;
  T power;
  std::memcpy(&power, &bits, sizeof power);
  const T found = polynomial(r, F::kExp) * power;
  return x < F::kLeast ? T{} : found;  // a nan is not below, and comes through the arithmetic
}

// The logistic function 1 / (1 + exp(-x)), and in `other` that of -x: one less the first would lose digits.
template <typename T>
[[gnu::always_inline]] inline T logistic(T x, T* other) {
  const T e = exponential(-magnitude(x));
  const T upper = 1 / (1 + e), lower = e * upper;
  *other = x < 0 ? upper : lower;
  return x < 0 ? lower : upper;
}

// P(X <= x) of the normal distribution, and exp(-x^2/2) in `bell`. The tail is a factor of the exponential: both for
// one, and small probabilities keep their digits.
template <typename T>
[[gnu::always_inline]] inline T normal(T x, T* bell) {
  const T e = exponential(T(-0.5) * x * x);
  const T u = 2 / (1 + T(0.25) * magnitude(x)) - 1;
  const T tail = e * polynomial(u, Fitted<T>::kTail);
  *bell = e;
  return x < 0 ? tail : 1 - tail;
}

}  // namespace calig_fast::CALIG_ISA
