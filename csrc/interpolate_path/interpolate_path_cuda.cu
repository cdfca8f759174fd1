#include "../common/device.cuh"
#include "interpolate_path_cuda.h"

namespace calig_fast {
namespace {

constexpr int kWarps = 4, kPacks = 2;

// From the nearer end, as torch.lerp; the ends themselves exactly, infinities too.
template <typename A>
__device__ __forceinline__ A between(A from, A to, A a) {
  if (a == A(0)) return from;
  if (a == A(1)) return to;
  return a < A(0.5) ? from + a * (to - from) : to - (to - from) * (A(1) - a);
}

// One warp holds one piece of one token's row, both ends of it, and writes it into every segment of the input. The
// warps after those of the tokens copy the rows that come before the points.
template <typename T, typename O, int N>
__global__ void __launch_bounds__(kWarps* kWarp, 1) interpolate(InterpolatePathCuda p) {
  using A = wide_t<T>;
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kPacks * kWarp + threadIdx.x % kWarp) * N;
  if (token >= p.tokens) {
    const int64_t row = token - p.tokens;
    if (row >= p.before_rows) return;
    Pack<O, N> copied[kPacks];
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int64_t d = column + k * kWarp * N;
      copied[k] = load_pack<O, N>(p.before, row * p.width + d, d < p.width);
    }
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int64_t d = column + k * kWarp * N;
      store_pack<O, N>(p.points, row * p.width + d, copied[k], d < p.width);
    }
    return;
  }
  const int64_t input = input_of(p.offsets, p.inputs, token), local = token - load(p.offsets + input);

  Pack<T, N> from[kPacks], to[kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t d = column + k * kWarp * N;
    from[k] = load_pack<T, N>(p.start, token * p.width + d, d < p.width);
    to[k] = load_pack<T, N>(p.end, token * p.width + d, d < p.width);
  }
  const int64_t stop = load(p.steps_begin + input + 1);
  for (int64_t i = load(p.steps_begin + input); i < stop; ++i) {
    const PathStep step = load(p.steps + i);
    const A a = static_cast<A>(step.value);
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int64_t d = column + k * kWarp * N;
      Pack<O, N> point;
#pragma unroll
      for (int j = 0; j < N; ++j) point.at[j] = narrow<O>(between<A>(widen(from[k].at[j]), widen(to[k].at[j]), a));
      store_pack<O, N>(p.points, (p.before_rows + step.row + local) * p.width + d, point, d < p.width);
    }
  }
}

template <typename T, typename O, int N>
cudaError_t run(const InterpolatePathCuda& p, cudaStream_t stream) {
  constexpr int64_t kPiece = kPacks * kWarp * N;
  const dim3 grid(static_cast<unsigned>((p.tokens + p.before_rows + kWarps - 1) / kWarps),
                  static_cast<unsigned>((p.width + kPiece - 1) / kPiece));
  return launch(interpolate<T, O, N>, grid, dim3(kWarps * kWarp), stream, p);
}

template <typename T, typename O>
cudaError_t run(const InterpolatePathCuda& p, cudaStream_t stream) {
  const bool packs = p.width % kPack<T> == 0 && on_16_bytes(p.start) && on_16_bytes(p.end) && on_16_bytes(p.before) &&
                     on_16_bytes(p.points);
  return packs ? run<T, O, kPack<T>>(p, stream) : run<T, O, 1>(p, stream);
}

}  // namespace

cudaError_t interpolate_path_cuda(const InterpolatePathCuda& p, cudaStream_t stream) {
  if (p.tokens + p.before_rows == 0 || p.width == 0) return cudaSuccess;
  return with_type(p.scalar, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, float>) {
      if (p.out == Scalar::f16) return run<T, __half>(p, stream);
      if (p.out == Scalar::bf16) return run<T, __nv_bfloat16>(p, stream);
    }
    return run<T, T>(p, stream);
  });
}

}  // namespace calig_fast
