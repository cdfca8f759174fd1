#include "../common/device.cuh"
#include "add_norm_cuda.h"

namespace calig_fast {
namespace {

constexpr int kThreads = 256, kPacks = 4;

// Two sums of a row.
template <typename A>
struct Sums {
  A first, second;
};

// The sums over a warp or, through shared memory, over a block.
template <typename A, int kTeam>
__device__ __forceinline__ Sums<A> team_sum(Sums<A> x, Sums<A>* parts) {
  x = {warp_sum(x.first), warp_sum(x.second)};
  if constexpr (kTeam > kWarp) {
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = x;
    __syncthreads();
    x = parts[0];
#pragma unroll
    for (int w = 1; w < kTeam / kWarp; ++w) x = {x.first + parts[w].first, x.second + parts[w].second};
    __syncthreads();  // the next sums go into the same place
  }
  return x;
}

// A team, one warp or the whole block, takes `count` rows, one after another, for which it holds weight and bias. A
// row of at most kTeam * kPacks packs (kHeld) stays in registers from its sum to its result; a wider one is read again,
// from cache.
template <typename T, int N, int kTeam, bool kHeld>
__global__ void __launch_bounds__(kThreads, 1) normalise(AddNorm p, int64_t rows, int64_t count) {
  using A = wide_t<T>;
  using Row = Pack<T, N>;
  __shared__ Sums<A> parts[kThreads / kWarp];
  constexpr int64_t kPiece = kTeam * N;
  const int64_t team = static_cast<int64_t>(blockIdx.x) * (kThreads / kTeam) + threadIdx.x / kTeam;
  const int64_t column = threadIdx.x % kTeam * N;
  const A width = static_cast<A>(p.width);

  Row weight[kPacks] = {}, bias[kPacks] = {};
  Pack<A, N> y[kPacks];
  const auto fetch_affine = [&](int64_t piece) {
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      const int64_t d = piece + column + j * kPiece;
      if (p.weight) weight[j] = load_pack<T, N>(p.weight, d, d < p.width);
      if (p.bias) bias[j] = load_pack<T, N>(p.bias, d, d < p.width);
    }
  };
  if constexpr (kHeld) fetch_affine(0);

  const int64_t stop = (team + 1) * count < rows ? (team + 1) * count : rows;
  for (int64_t row = team * count; row < stop; ++row) {
    const int64_t at = row * p.width;
    const auto fetch = [&](int64_t piece, bool write) {
      Row x[kPacks], r[kPacks];
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t d = piece + column + j * kPiece;
        x[j] = load_pack<T, N>(p.x, at + d, d < p.width);
        r[j] = load_pack<T, N>(p.residual, at + d, d < p.width);
      }
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t d = piece + column + j * kPiece;
        Row total;
#pragma unroll
        for (int e = 0; e < N; ++e) {
          y[j].at[e] = widen(x[j].at[e]) + widen(r[j].at[e]);
          total.at[e] = narrow<T>(y[j].at[e]);
        }
        if (write) store_pack<T, N>(p.total, at + d, total, d < p.width);
      }
    };
    // the numbers of a piece about `mean`, and their squares
    const auto gather = [&](Sums<A> sums, A mean, int64_t piece) {
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const bool active = piece + column + j * kPiece < p.width;
#pragma unroll
        for (int e = 0; e < N; ++e) {
          const A centred = active ? y[j].at[e] - mean : A(0);
          sums = {sums.first + centred, sums.second + centred * centred};
        }
      }
      return sums;
    };

    Sums<A> sums{};
    for (int64_t piece = 0; piece < (kHeld ? 1 : p.width); piece += kPacks * kPiece) {
      fetch(piece, true);
      sums = gather(sums, A(0), piece);
    }
    const A mean = team_sum<A, kTeam>(sums, parts).first / width;
    sums = {};
    for (int64_t piece = 0; piece < (kHeld ? 1 : p.width); piece += kPacks * kPiece) {
      if constexpr (!kHeld) fetch(piece, false);
      sums = gather(sums, mean, piece);
    }
    sums = team_sum<A, kTeam>(sums, parts);
    const A rest = sums.first / width;  // of the mean, which is rounded
    const A deviation = A(1) / sqrt(sums.second / width - rest * rest + static_cast<A>(p.eps));
    const bool first = threadIdx.x % kTeam == 0;
    store(static_cast<A*>(p.mean) + row, mean, first);
    store(static_cast<A*>(p.deviation) + row, deviation, first);
    for (int64_t piece = 0; piece < (kHeld ? 1 : p.width); piece += kPacks * kPiece) {
      if constexpr (!kHeld) {
        fetch(piece, false);
        fetch_affine(piece);
      }
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t d = piece + column + j * kPiece;
        Row out;
#pragma unroll
        for (int e = 0; e < N; ++e) {
          A found = (y[j].at[e] - mean - rest) * deviation;
          if (p.weight) found *= widen(weight[j].at[e]);
          if (p.bias) found += widen(bias[j].at[e]);
          out.at[e] = narrow<T>(found);
        }
        store_pack<T, N>(p.out, at + d, out, d < p.width);
      }
    }
  }
}

template <typename T, int N, int kTeam, bool kHeld>
cudaError_t run(const AddNorm& p, int64_t rows, int64_t count, cudaStream_t stream) {
  const int64_t a_block = kThreads / kTeam * count;
  const dim3 grid(static_cast<unsigned>((rows + a_block - 1) / a_block));
  return launch(normalise<T, N, kTeam, kHeld>, grid, dim3(kThreads), stream, p, rows, count);
}

template <typename T, int N>
cudaError_t run(const AddNorm& p, int64_t rows, int64_t count, cudaStream_t stream) {
  if (p.width <= kWarp * kPacks * N) return run<T, N, kWarp, true>(p, rows, count, stream);
  if (p.width <= kThreads * kPacks * N) return run<T, N, kThreads, true>(p, rows, count, stream);
  return run<T, N, kThreads, false>(p, rows, count, stream);
}

}  // namespace

cudaError_t add_norm_cuda(const AddNorm& p, int64_t rows, cudaStream_t stream, int64_t rows_a_team) {
  if (rows == 0 || p.width == 0) return cudaSuccess;
  // Up to 8 rows a team, once there are teams enough for the largest GPU: weight and bias are read an eighth as often.
  const int64_t share = rows / 8192, count = rows_a_team ? rows_a_team : share < 1 ? 1 : share > 8 ? 8 : share;
  return with_type(p.scalar, [&](auto element) {
    using T = decltype(element);
    const bool packs = p.width % kPack<T> == 0 && on_16_bytes(p.x) && on_16_bytes(p.residual) &&
                       on_16_bytes(p.weight) && on_16_bytes(p.bias) && on_16_bytes(p.out) && on_16_bytes(p.total);
    return packs ? run<T, kPack<T>>(p, rows, count, stream) : run<T, 1>(p, rows, count, stream);
  });
}

}  // namespace calig_fast
