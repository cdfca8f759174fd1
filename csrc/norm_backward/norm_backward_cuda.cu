#include "../common/device.cuh"
#include "norm_backward_cuda.h"

namespace calig_fast {
namespace {

constexpr int kThreads = 256, kPacks = 4;

// The two sums of a row, over a warp or, through shared memory, over a block.
template <typename A>
struct Sums {
  A level, slope;
};

template <typename A, int kTeam>
__device__ __forceinline__ Sums<A> team_sum(Sums<A> x, Sums<A>* parts) {
  x = {warp_sum(x.level), warp_sum(x.slope)};
  if constexpr (kTeam > kWarp) {
    constexpr int kWarps = kTeam / kWarp;
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = x;
    __syncthreads();
    x = parts[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) x = {x.level + parts[w].level, x.slope + parts[w].slope};
    __syncthreads();  // the next row's sums go into the same place
  }
  return x;
}

// A team, one warp or the whole block, takes `count` rows, one after another, for which it holds the weight. A row
// of at most kTeam * kPacks packs (kHeld) stays in registers between its sums and its result; a wider one is read
// again, from cache.
template <typename T, int N, int kTeam, bool kHeld, bool kWeight, bool kResidual>
__global__ void __launch_bounds__(kThreads, 1) backward(NormBackward p, int64_t rows, int64_t count) {
  using A = wide_t<T>;
  using Row = Pack<T, N>;
  __shared__ Sums<A> parts[kThreads / kWarp];
  constexpr int64_t kPiece = kTeam * N;
  const int64_t team = static_cast<int64_t>(blockIdx.x) * (kThreads / kTeam) + threadIdx.x / kTeam;
  const int64_t column = threadIdx.x % kTeam * N;

  Row weight[kPacks] = {};
  if constexpr (kHeld && kWeight) {
#pragma unroll
    for (int j = 0; j < kPacks; ++j)
      weight[j] = load_pack<T, N>(p.weight, column + j * kPiece, column + j * kPiece < p.width);
  }
  const auto weighted = [&](const Row& g, const Row& w, int e) {
    if constexpr (kWeight) return widen(g.at[e]) * widen(w.at[e]);
    return widen(g.at[e]);
  };

  const int64_t stop = (team + 1) * count < rows ? (team + 1) * count : rows;
  for (int64_t row = team * count; row < stop; ++row) {
    const int64_t at = row * p.width;
    const A mean = p.mean ? load(static_cast<const A*>(p.mean) + row) : A(0);
    const A deviation = load(static_cast<const A*>(p.deviation) + row);
    Row g[kPacks], x[kPacks], r[kPacks];
    // packs of the pieces from `piece` on; with what only the result needs when it is asked for
    const auto fetch = [&](int64_t piece, bool with_residual) {
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t d = piece + column + j * kPiece;
        const bool active = d < p.width;
        g[j] = load_pack<T, N>(p.gradient, at + d, active);
        x[j] = load_pack<T, N>(p.x, at + d, active);
        if constexpr (kWeight && !kHeld) weight[j] = load_pack<T, N>(p.weight, d, active);
        if constexpr (kResidual)
          if (with_residual) r[j] = load_pack<T, N>(p.residual, at + d, active);
      }
    };
    const auto add = [&](Sums<A> sums, int64_t piece) {
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const bool active = piece + column + j * kPiece < p.width;
#pragma unroll
        for (int e = 0; e < N; ++e) {
          const A value = active ? weighted(g[j], weight[j], e) : A(0);
          sums.level += value;
          sums.slope += active ? value * (widen(x[j].at[e]) - mean) : A(0);
        }
      }
      return sums;
    };
    const auto finish = [&](Sums<A> sums, int64_t piece) {
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t d = piece + column + j * kPiece;
        Row out;
#pragma unroll
        for (int e = 0; e < N; ++e) {
          A found = deviation * (weighted(g[j], weight[j], e) - sums.level - (widen(x[j].at[e]) - mean) * sums.slope);
          if constexpr (kResidual) found += widen(r[j].at[e]);
          out.at[e] = narrow<T>(found);
        }
        store_pack<T, N>(p.out, at + d, out, d < p.width);
      }
    };

    Sums<A> sums{};
    for (int64_t piece = 0; piece < (kHeld ? 1 : p.width); piece += kPacks * kPiece) {
      fetch(piece, kHeld);
      sums = add(sums, piece);
    }
    sums = team_sum<A, kTeam>(sums, parts);
    const A width = static_cast<A>(p.width);
    sums = {p.mean ? sums.level / width : A(0), sums.slope / width * deviation * deviation};
    for (int64_t piece = 0; piece < (kHeld ? 1 : p.width); piece += kPacks * kPiece) {
      if constexpr (!kHeld) fetch(piece, true);
      finish(sums, piece);
    }
  }
}

template <typename T, int N, int kTeam, bool kHeld>
cudaError_t run(const NormBackward& p, int64_t rows, int64_t count, cudaStream_t stream) {
  const int64_t a_block = kThreads / kTeam * count;
  const dim3 grid(static_cast<unsigned>((rows + a_block - 1) / a_block));
  const auto kernel =
      p.weight     ? p.residual ? backward<T, N, kTeam, kHeld, true, true> : backward<T, N, kTeam, kHeld, true, false>
      : p.residual ? backward<T, N, kTeam, kHeld, false, true>
                   : backward<T, N, kTeam, kHeld, false, false>;
  return launch(kernel, grid, dim3(kThreads), stream, p, rows, count);
}

template <typename T, int N>
cudaError_t run(const NormBackward& p, int64_t rows, int64_t count, cudaStream_t stream) {
  if (p.width <= kWarp * kPacks * N) return run<T, N, kWarp, true>(p, rows, count, stream);
  if (p.width <= kThreads * kPacks * N) return run<T, N, kThreads, true>(p, rows, count, stream);
  return run<T, N, kThreads, false>(p, rows, count, stream);
}

}  // namespace

cudaError_t norm_backward_cuda(const NormBackward& p, int64_t rows, cudaStream_t stream, int64_t rows_a_team) {
  if (rows == 0 || p.width == 0) return cudaSuccess;
  // Up to 8 rows a team, once there are teams enough for the largest GPU: the weight is then read an eighth as often.
  const int64_t share = rows / 8192, count = rows_a_team ? rows_a_team : share < 1 ? 1 : share > 8 ? 8 : share;
  return with_type(p.scalar, [&](auto element) {
    using T = decltype(element);
    const bool packs = p.width % kPack<T> == 0 && on_16_bytes(p.gradient) && on_16_bytes(p.x) && on_16_bytes(p.out) &&
                       on_16_bytes(p.weight) && on_16_bytes(p.residual);
    return packs ? run<T, kPack<T>>(p, rows, count, stream) : run<T, 1>(p, rows, count, stream);
  });
}

}  // namespace calig_fast
