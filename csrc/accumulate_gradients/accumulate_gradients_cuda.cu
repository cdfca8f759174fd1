#include "../common/device.cuh"
#include "accumulate_gradients_cuda.h"

namespace calig_fast {
namespace {

constexpr int kWarps = 4, kPacks = 4;

// One warp holds a piece of one token's directions while that token's gradients stream past, segment after segment;
// then the next piece, if the row is wider. Only then is phi, one number a row, read again: by the lane that wrote it.
template <typename T, typename D, int N, bool kLig, bool kStarts>
__global__ void __launch_bounds__(kWarps* kWarp, 1) accumulate(AccumulateGradientsCuda p) {
  using A = wide_t<T>;
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (token >= p.tokens) return;
  const int lane = threadIdx.x % kWarp;
  const int64_t input = input_of(p.offsets, p.inputs, token), local = token - load(p.offsets + input);
  const int64_t begin = load(p.steps_begin + input), stop = load(p.steps_begin + input + 1);
  A* const phi = static_cast<A*>(p.phi);
  double r = 0;
  bool first = true;
  for (int k = 0; k < p.pairs; ++k) {
    // picked, not indexed: an index would put the kernel's parameters into local memory
    const int64_t width = k ? p.width[1] : p.width[0];
    const void* const gradients = k ? p.gradients[1] : p.gradients[0];
    const void* const directions = k ? p.directions[1] : p.directions[0];
    const void* const starts = k ? p.starts[1] : p.starts[0];
    // at least once, so that rows of no width still get their zeros
    for (int64_t piece = 0; piece < width || first; piece += kPacks * kWarp * N, first = false) {
      const int64_t column = piece + lane * N;
      Pack<A, N> direction[kPacks];
      A lig[kLig ? kPacks * N : 1] = {};
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t d = column + j * kWarp * N;
        direction[j] = widened(load_pack<D, N>(directions, token * width + d, d < width));
        if constexpr (kStarts) {
          const Pack<D, N> start = load_pack<D, N>(starts, token * width + d, d < width);
#pragma unroll
          for (int e = 0; e < N; ++e) direction[j].at[e] -= widen(start.at[e]);
        }
      }
      for (int64_t i = begin; i < stop; ++i) {
        const PathStep step = load(p.steps + i);
        const int64_t row = step.row + local;
        Pack<T, N> gradient[kPacks];
#pragma unroll
        for (int j = 0; j < kPacks; ++j) {
          const int64_t d = column + j * kWarp * N;
          gradient[j] = load_pack<T, N>(gradients, row * width + d, d < width);
        }
        A along = 0;
#pragma unroll
        for (int j = 0; j < kPacks; ++j) {
#pragma unroll
          for (int e = 0; e < N; ++e) {
            along += widen(gradient[j].at[e]) * direction[j].at[e];
            if constexpr (kLig) lig[j * N + e] += static_cast<A>(step.value) * widen(gradient[j].at[e]);
          }
        }
        along = warp_sum(along);
        r += step.value * static_cast<double>(along);
        store(phi + row, first ? along : along + load(phi + row, !first && lane == 0), lane == 0);
      }
      if constexpr (kLig) {
#pragma unroll
        for (int j = 0; j < kPacks; ++j) {
          const int64_t d = column + j * kWarp * N;
          // 16 bytes of gradients are up to 32 of lig: one pack of N numbers, stored in as many accesses as that takes
          constexpr int kPart = kPack<A> < N ? kPack<A> : N;
#pragma unroll
          for (int e = 0; e < N; e += kPart) {
            Pack<A, kPart> out;
#pragma unroll
            for (int i = 0; i < kPart; ++i) out.at[i] = lig[j * N + e + i] * direction[j].at[e + i];
            store_pack<A, kPart>(p.lig, token * width + d + e, out, d < width);
          }
        }
      }
    }
  }
  store(static_cast<A*>(p.r) + token, static_cast<A>(r), lane == 0);
}

template <typename T, typename D, int N>
cudaError_t run(const AccumulateGradientsCuda& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((p.tokens + kWarps - 1) / kWarps)), block(kWarps * kWarp);
  const auto kernel = p.starts[0] ? p.lig ? accumulate<T, D, N, true, true> : accumulate<T, D, N, false, true>
                      : p.lig     ? accumulate<T, D, N, true, false>
                                  : accumulate<T, D, N, false, false>;
  return launch(kernel, grid, block, stream, p);
}

template <typename T, typename D>
cudaError_t run(const AccumulateGradientsCuda& p, cudaStream_t stream) {
  constexpr int kMost = kPack<D>;  // the wider of the two
  bool packs = on_16_bytes(p.lig);
  for (int k = 0; k < p.pairs; ++k)
    packs = packs && p.width[k] % kMost == 0 && on_16_bytes(p.gradients[k]) && on_16_bytes(p.directions[k]) &&
            on_16_bytes(p.starts[k]);
  return packs ? run<T, D, kMost>(p, stream) : run<T, D, 1>(p, stream);
}

}  // namespace

cudaError_t accumulate_gradients_cuda(const AccumulateGradientsCuda& p, cudaStream_t stream) {
  if (p.tokens == 0) return cudaSuccess;
  return with_type(p.scalar, [&](auto element) {
    using T = decltype(element);
    if constexpr (sizeof(T) == 2)
      if (p.along == Scalar::f32) return run<T, float>(p, stream);
    return run<T, T>(p, stream);
  });
}

}  // namespace calig_fast
