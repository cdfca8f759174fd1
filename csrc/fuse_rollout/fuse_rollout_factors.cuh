// What a relevance, a map and its rows are multiplied by.
#pragma once

#include "../common/device.cuh"
#include "fuse_rollout_cuda.h"

namespace calig_fast {

// Sum or maximum of magnitudes of n numbers at(i, whether there is one), the same in all threads of the block. Pairs of
// lanes add in float what one lane saw, at most n / threads numbers; the rest is in double. `parts` is in use for good.
template <typename T, int kInBlock, typename At>
__device__ double measure_block(At at, int64_t n, bool maximum, double* parts) {
  T mine = 0;
  for (int64_t base = 0; base < n; base += kInBlock * kWarp) {
    const T value = fabs(at(base + threadIdx.x, base + threadIdx.x < n));
    mine = maximum ? greater(mine, value) : mine + value;
  }
  const double warp = maximum ? warp_max<double>(mine) : warp_sum<double>(mine);
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = warp;
  __syncthreads();
  double all = parts[0];
#pragma unroll
  for (int w = 1; w < kInBlock; ++w) all = maximum ? greater(all, parts[w]) : all + parts[w];
  return all;
}

// A zero denominator gives zeros.
__device__ __forceinline__ double reciprocal(double denominator) {
  return denominator == 0 ? 0 : 1 / denominator;
}

// What the relevance is multiplied by.
template <typename T, int kInBlock>
__device__ double relevance_factor(const FuseRolloutCuda& p, const RolloutInput& in, double* parts) {
  if (p.lam == 0 || p.relevance_scale == RolloutScale::none) return p.lam;
  const T* relevance = static_cast<const T*>(p.relevance) + in.token;
  const auto at = [&](int64_t i, bool active) { return load(relevance + i, active); };
  double denominator = measure_block<T, kInBlock>(at, in.tokens, p.relevance_scale != RolloutScale::sum, parts);
  if (p.relevance_scale == RolloutScale::max_t) denominator *= in.tokens;
  return p.lam * reciprocal(denominator);
}

template <typename T>
__device__ __forceinline__ T row_factor(const FuseRolloutCuda& p, T sum) {
  return !p.normalise ? T(1) : sum == T(0) ? T(0) : T(1) / sum;
}

}  // namespace calig_fast
