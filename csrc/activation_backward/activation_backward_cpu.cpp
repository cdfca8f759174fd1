#include "../common/exponential.h"
#include "../common/simd.h"
#include "activation_backward.h"

namespace calig_fast::CALIG_ISA {
namespace {

// Each: `value` f(u), and `back` g f'(u), in the order of PyTorch's own operations, so that infinities and nan end
// alike.
struct Gelu {
  template <typename A>
  [[gnu::always_inline]] static A value(A u) {
    A bell;
    return u * normal(u, &bell);
  }
  template <typename A>
  [[gnu::always_inline]] static A back(A g, A u) {
    A bell;
    const A below = normal(u, &bell);
    return g * (below + u * (bell * A(0.39894228040143267794)));  // 1 / sqrt(2 pi)
  }
};

// (1 + tanh(z)) / 2 is logistic(2 z)
struct GeluTanh {
  static constexpr double kTwice = 1.5957691216057307117, kCube = 0.044715;  // 2 sqrt(2 / pi)
  template <typename A>
  [[gnu::always_inline]] static A value(A u) {
    A other;
    return u * logistic(A(kTwice) * (u + A(kCube) * (u * u * u)), &other);
  }
  template <typename A>
  [[gnu::always_inline]] static A back(A g, A u) {
    const A square = u * u;
    A other;
    const A s = logistic(A(kTwice) * (u + A(kCube) * (square * u)), &other);
    return g * (s + u * (s * other) * (A(kTwice) * (1 + A(3 * kCube) * square)));
  }
};

struct Relu {
  template <typename A>
  [[gnu::always_inline]] static A value(A u) {
    return u <= 0 ? A(0) : u;
  }
  template <typename A>
  [[gnu::always_inline]] static A back(A g, A u) {
    return u <= 0 ? A(0) : g;
  }
};

struct ReluSquared {
  template <typename A>
  [[gnu::always_inline]] static A value(A u) {
    return u <= 0 ? A(0) : u * u;
  }
  template <typename A>
  [[gnu::always_inline]] static A back(A g, A u) {
    return u <= 0 ? A(0) : g * (2 * u);
  }
};

struct Silu {
  template <typename A>
  [[gnu::always_inline]] static A value(A u) {
    A other;
    return u * logistic(u, &other);
  }
  template <typename A>
  [[gnu::always_inline]] static A back(A g, A u) {
    A other;
    const A s = logistic(u, &other);
    return g * s * (1 + u * other);
  }
};

// u logistic(c u)
struct QuickGelu {
  static constexpr double kFactor = 1.702;
  template <typename A>
  [[gnu::always_inline]] static A value(A u) {
    A other;
    return u * logistic(A(kFactor) * u, &other);
  }
  template <typename A>
  [[gnu::always_inline]] static A back(A g, A u) {
    A other;
    const A scaled = A(kFactor) * u, s = logistic(scaled, &other);
    return g * s * (1 + scaled * other);
  }
};

template <typename T, typename F>
void plain(const T* __restrict gradient, const T* __restrict inner, T* __restrict out, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) store(out + i, F::back(load(gradient[i]), load(inner[i])));
}

template <typename T, typename F>
void gated(const T* __restrict gradient, const T* __restrict inner, T* __restrict out, int64_t width) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const auto g = load(gradient[i]), gate = load(inner[i]), value = load(inner[width + i]);
    store(out + i, F::back(g * value, gate));
    store(out + width + i, g * F::value(gate));
  }
}

template <typename T, typename F>
void rows(const ActivationBackward& p, int64_t begin, int64_t end) {
  const T* gradient = static_cast<const T*>(p.gradient);
  const T* inner = static_cast<const T*>(p.inner);
  T* out = static_cast<T*>(p.out);
  if (!p.gated) {
    const int64_t first = begin * p.width;
    return plain<T, F>(gradient + first, inner + first, out + first, (end - begin) * p.width);
  }
  for (int64_t row = begin; row < end; ++row)
    gated<T, F>(gradient + row * p.width, inner + 2 * row * p.width, out + 2 * row * p.width, p.width);
}

template <typename T>
void rows(const ActivationBackward& p, int64_t begin, int64_t end) {
  switch (p.kind) {
    case Activation::gelu:
      return rows<T, Gelu>(p, begin, end);
    case Activation::gelu_tanh:
      return rows<T, GeluTanh>(p, begin, end);
    case Activation::relu:
      return rows<T, Relu>(p, begin, end);
    case Activation::silu:
      return rows<T, Silu>(p, begin, end);
    case Activation::quick_gelu:
      return rows<T, QuickGelu>(p, begin, end);
    case Activation::relu_squared:
      return rows<T, ReluSquared>(p, begin, end);
  }
}

}  // namespace

void activation_backward_rows(const ActivationBackward& problem, int64_t begin, int64_t end) {
  with_type(problem.scalar, [&](auto zero) { rows<decltype(zero)>(problem, begin, end); });
}

}  // namespace calig_fast::CALIG_ISA
