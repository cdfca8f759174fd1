// A map that one block's shared memory holds.
#pragma once

#include "fuse_rollout_factors.cuh"

namespace calig_fast {

constexpr int kHolders = 32;           // warps that hold a map
constexpr size_t kHeldBytes = 160000;  // an A100 gives a block 166912
template <typename T>
constexpr int kHeld = sizeof(T) == 4 ? 200 : 141;  // tokens of a map that they hold

// A block holds the map of one input: a warp takes every kHolders-th row, a lane every kWarp-th column.
template <typename T>
__global__ void __launch_bounds__(kHolders* kWarp, 1) hold_maps(FuseRolloutCuda p, int64_t most) {
  constexpr int kLaneColumns = (kHeld<T> + kWarp - 1) / kWarp;
  __shared__ double parts[2][kHolders];
  __shared__ T relevance[kHeld<T>], row[kHeld<T>], scale[kHeld<T>];
#if defined(EMULATION)
  EMULATION_DYNAMIC_SHARED(double, memory);
#else
  extern __shared__ double memory[];
#endif
  T* const held = reinterpret_cast<T*>(memory);
  const RolloutInput in = load(p.inputs + blockIdx.x);
  if (in.tokens > most) return;
  const int n = static_cast<int>(in.tokens), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;

  const double by_relevance = relevance_factor<T, kHolders>(p, in, parts[0]);
  double map = 1 - p.lam;
  if (p.lam != 1) {
    const auto take = [&](int64_t i, bool active) {
      const T value = load(static_cast<const T*>(p.attention) + in.map + i, active);
      if (active) held[i] = value;
      return value;
    };
    const double denominator =
        measure_block<T, kHolders>(take, n * n, p.attention_scale == RolloutScale::max, parts[1]);
    if (p.attention_scale != RolloutScale::none) map *= reciprocal(denominator);
  }
  const int me = static_cast<int>(threadIdx.x);
  const T base = load(static_cast<const T*>(p.relevance) + in.token + me, me < n && by_relevance != 0);
  const T weight = load(static_cast<const T*>(p.row) + in.token + me, me < n);
  if (me < n) {
    relevance[me] = static_cast<T>(by_relevance * base);
    row[me] = weight;
  }
  __syncthreads();

  const T residual = static_cast<T>(p.residual), by_map = static_cast<T>(map);
  T sum[kLaneColumns] = {};
  for (int t = warp; t < n; t += kHolders) {
    T a[kLaneColumns], total = 0;
#pragma unroll
    for (int j = 0; j < kLaneColumns; ++j) {
      const int u = j * kWarp + lane;
      const T g = u < n && by_map != T(0) ? held[t * n + u] : T(0);
      a[j] = u < n ? relevance[u] + by_map * g + (t == u ? residual : T(0)) : T(0);
      total += fabs(a[j]);
    }
    const T by_sum = row_factor(p, warp_sum(total)), by_row = row[t] * by_sum;
    if (lane == 0) scale[t] = by_sum;
#pragma unroll
    for (int j = 0; j < kLaneColumns; ++j) sum[j] += by_row * a[j];
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kLaneColumns; ++j)
    if (j * kWarp + lane < n) held[warp * n + j * kWarp + lane] = sum[j];
  __syncthreads();
  double all = 0;
  for (int w = 0; me < n && w < kHolders; ++w) all += held[w * n + me];
  store(static_cast<T*>(p.row_out) + in.token + me, static_cast<T>(all), me < n);
  const T kept = load(static_cast<const T*>(p.identity) + in.token + me, me < n);
  store(static_cast<T*>(p.identity_out) + in.token + me, kept * residual * (me < n ? scale[me] : T(0)), me < n);
}

}  // namespace calig_fast
