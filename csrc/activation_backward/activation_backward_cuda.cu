#include "../common/device.cuh"
#include "activation_backward_cuda.h"

namespace calig_fast {
namespace {

constexpr int kThreads = 256;

template <typename A>
struct Slope {
  A value, slope;  // f(u), f'(u)
};

// exp of at most 0, so nothing overflows, and both tails of the logistic function keep their digits.
template <typename A>
__device__ __forceinline__ A logistic(A x, A* other) {
  const A e = exp(-fabs(x)), upper = A(1) / (A(1) + e), lower = e * upper;
  *other = x < A(0) ? upper : lower;
  return x < A(0) ? lower : upper;
}

template <Activation kKind, typename A>
__device__ __forceinline__ Slope<A> slope(A u) {
  if constexpr (kKind == Activation::gelu) {
    const A below = A(0.5) * erfc(u * A(-0.70710678118654752440));
    return {u * below, below + u * (exp(A(-0.5) * u * u) * A(0.39894228040143267794))};
  } else if constexpr (kKind == Activation::gelu_tanh) {
    constexpr A kFactor = A(1.59576912160573071176), kCubic = A(0.044715);
    A other;
    const A s = logistic(kFactor * (u + kCubic * u * u * u), &other);
    return {u * s, s + u * s * other * kFactor * (A(1) + A(3) * kCubic * u * u)};
  } else if constexpr (kKind == Activation::relu) {
    const bool off = u <= A(0);  // not so a nan
    return {off ? A(0) : u, off ? A(0) : A(1)};
  } else if constexpr (kKind == Activation::relu_squared) {
    const bool off = u <= A(0);
    return {off ? A(0) : u * u, off ? A(0) : A(2) * u};
  } else {  // u logistic(c u)
    constexpr A kFactor = kKind == Activation::quick_gelu ? A(1.702) : A(1);
    A other;
    const A s = logistic(kFactor * u, &other);
    return {u * s, s + u * s * other * kFactor};
  }
}

// A closed relu gives 0, whatever comes: 0 times an infinity would be a nan.
template <Activation kKind, typename A>
__device__ __forceinline__ A through(A gradient, A by) {
  if constexpr (kKind == Activation::relu || kKind == Activation::relu_squared)
    return by == A(0) ? A(0) : gradient * by;
  return gradient * by;
}

// One thread, one pack of one row; of rows that are not gated, all are one long row and the last pack may be short.
template <typename T, int N, Activation kKind, bool kGated>
__global__ void __launch_bounds__(kThreads) backward(ActivationBackward p, int64_t rows) {
  using A = wide_t<T>;
  const int64_t d = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const int64_t gate = row * p.width * (kGated ? 2 : 1) + d, value = gate + p.width;
    const auto piece = [&](auto size, int64_t at, bool active) {
      constexpr int kSize = decltype(size)::value;
      const Pack<T, kSize> g = load_pack<T, kSize>(p.gradient, row * p.width + at, active);
      const Pack<T, kSize> u = load_pack<T, kSize>(p.inner, gate - d + at, active);
      Pack<T, kSize> v{}, du, dv;
      if constexpr (kGated) v = load_pack<T, kSize>(p.inner, value - d + at, active);
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        const Slope<A> f = slope<kKind>(widen(u.at[j]));
        const A factor = widen(g.at[j]);
        if constexpr (kGated) {
          du.at[j] = narrow<T>(through<kKind>(factor * widen(v.at[j]), f.slope));
          dv.at[j] = narrow<T>(factor * f.value);
        } else {
          du.at[j] = narrow<T>(through<kKind>(factor, f.slope));
        }
      }
      store_pack<T, kSize>(p.out, gate - d + at, du, active);
      if constexpr (kGated) store_pack<T, kSize>(p.out, value - d + at, dv, active);
    };
    piece(std::integral_constant<int, N>{}, d, d + N <= p.width);
    if constexpr (N > 1 && !kGated) {
      if (d < p.width && d + N > p.width)
        for (int64_t at = d; at < p.width; ++at) piece(std::integral_constant<int, 1>{}, at, true);
    }
  }
}

template <typename T, int N, Activation kKind>
cudaError_t run(const ActivationBackward& p, int64_t rows, cudaStream_t stream) {
  const int64_t packs = (p.width + N - 1) / N, most = 65535;
  const dim3 grid(static_cast<unsigned>((packs + kThreads - 1) / kThreads),
                  static_cast<unsigned>(rows < most ? rows : most));
  return launch(p.gated ? backward<T, N, kKind, true> : backward<T, N, kKind, false>, grid, dim3(kThreads), stream, p,
                rows);
}

template <typename T, Activation kKind>
cudaError_t run(ActivationBackward p, int64_t rows, cudaStream_t stream) {
  const bool aligned = on_16_bytes(p.gradient) && on_16_bytes(p.inner) && on_16_bytes(p.out);
  if (!p.gated) {
    p.width *= rows;
    rows = 1;
  }
  const bool packs = aligned && (!p.gated || p.width % kPack<T> == 0);
  return packs ? run<T, kPack<T>, kKind>(p, rows, stream) : run<T, 1, kKind>(p, rows, stream);
}

}  // namespace

cudaError_t activation_backward_cuda(const ActivationBackward& p, int64_t rows, cudaStream_t stream) {
  if (rows == 0 || p.width == 0) return cudaSuccess;
  return with_type(p.scalar, [&](auto element) {
    using T = decltype(element);
    switch (p.kind) {
      case Activation::gelu:
        return run<T, Activation::gelu>(p, rows, stream);
      case Activation::gelu_tanh:
        return run<T, Activation::gelu_tanh>(p, rows, stream);
      case Activation::relu:
        return run<T, Activation::relu>(p, rows, stream);
      case Activation::silu:
        return run<T, Activation::silu>(p, rows, stream);
      case Activation::quick_gelu:
        return run<T, Activation::quick_gelu>(p, rows, stream);
      case Activation::relu_squared:
        return run<T, Activation::relu_squared>(p, rows, stream);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace calig_fast
