// Four launches: where each input's parts lie; the maps' denominators, run by run; the rows, run by run; the runs'
// sums. A map is read twice where its denominator must be known first, the second time from L2 unless it is larger than
// that.
#include "../common/device.cuh"
#include "fuse_rollout_cuda.h"

namespace calig_fast {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;
constexpr int kRowsAWarp = kRolloutRun / kWarps;
constexpr int kColumns = 16, kChunk = kColumns * kWarp;  // columns that a lane and a warp hold

// Sum or maximum of magnitudes of n numbers, the same in all threads of the block; once a kernel, `parts` being in use.
// Pairs of lanes add in float what one lane saw, at most n / kThreads numbers; the rest is in double.
template <typename T>
__device__ double measure_block(const T* x, int64_t n, bool maximum, double* parts) {
  T mine = 0;
  for (int64_t base = 0; base < n; base += kThreads) {
    const T value = fabs(load(x + base + threadIdx.x, base + threadIdx.x < n));
    mine = maximum ? greater(mine, value) : mine + value;
  }
  const double warp = maximum ? warp_max<double>(mine) : warp_sum<double>(mine);
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = warp;
  __syncthreads();
  double all = parts[0];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) all = maximum ? greater(all, parts[w]) : all + parts[w];
  return all;
}

__global__ void __launch_bounds__(kThreads) lay_out(FuseRolloutCuda p) {
  const int64_t me = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  RolloutInput out{};
  for (int64_t b = 0; b < p.count; ++b) {
    const int64_t first = load(p.offsets + b), tokens = load(p.offsets + b + 1) - first;
    const int64_t runs = (tokens + kRolloutRun - 1) / kRolloutRun;
    if (b < me) {
      out.map += tokens * tokens;
      out.run += runs;
      out.partial += runs * tokens;
    } else if (b == me) {
      out.token = first;
      out.tokens = tokens;
      out.runs = runs;
    }
  }
  store(p.inputs + me, out, me < p.count);
}

// The input of this block's run; for a block too many, one whose runs end before it.
__device__ __forceinline__ RolloutInput input_of_this(const FuseRolloutCuda& p) {
  int64_t low = 0, high = p.count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (load(&p.inputs[middle].run) <= blockIdx.x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return load(p.inputs + low);
}

__device__ __forceinline__ bool is_too_many(const RolloutInput& in) {
  return blockIdx.x - in.run >= in.runs;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) measure_maps(FuseRolloutCuda p) {
  __shared__ double parts[kWarps];
  const RolloutInput in = input_of_this(p);
  if (is_too_many(in)) return;
  const int64_t first = (blockIdx.x - in.run) * kRolloutRun;
  const int64_t rows = in.tokens - first < kRolloutRun ? in.tokens - first : kRolloutRun;
  const T* map = static_cast<const T*>(p.attention) + in.map + first * in.tokens;
  const double all = measure_block(map, rows * in.tokens, p.attention_scale == RolloutScale::max, parts);
  store(p.measures + blockIdx.x, all, threadIdx.x == 0);
}

// A zero denominator gives zeros.
__device__ __forceinline__ double reciprocal(double denominator) {
  return denominator == 0 ? 0 : 1 / denominator;
}

// What the relevance and the map are multiplied by.
struct Factors {
  double relevance, map;
};

template <typename T>
__device__ Factors factors(const FuseRolloutCuda& p, const RolloutInput& in, double* parts) {
  Factors out{p.lam, 1 - p.lam};
  if (p.lam != 0 && p.relevance_scale != RolloutScale::none) {
    const T* relevance = static_cast<const T*>(p.relevance) + in.token;
    double denominator = measure_block(relevance, in.tokens, p.relevance_scale != RolloutScale::sum, parts);
    if (p.relevance_scale == RolloutScale::max_t) denominator *= in.tokens;
    out.relevance *= reciprocal(denominator);
  }
  if (p.lam != 1 && p.attention_scale != RolloutScale::none) {
    double denominator = 0;
    for (int64_t i = 0; i < in.runs; ++i) {
      const double run = load(p.measures + in.run + i);
      denominator = p.attention_scale == RolloutScale::max ? greater(denominator, run) : denominator + run;
    }
    out.map *= reciprocal(denominator);
  }
  return out;
}

// A block takes kRolloutRun rows of one map, a warp kRowsAWarp of them: it holds kChunk columns of one row at a time,
// and the sum over its rows of the same columns, which the block then adds up, warp by warp.
template <typename T>
__global__ void __launch_bounds__(kThreads, 1) multiply(FuseRolloutCuda p) {
  __shared__ double parts[kWarps];
  __shared__ T relevance[kChunk], sums[kWarps][kChunk];
  const RolloutInput in = input_of_this(p);
  if (is_too_many(in)) return;
  const Factors by = factors<T>(p, in, parts);
  const T residual = static_cast<T>(p.residual), by_map = static_cast<T>(by.map);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t run = blockIdx.x - in.run, n = in.tokens, first = run * kRolloutRun + warp * kRowsAWarp;
  const bool one_chunk = n <= kChunk;

  // The relevance's part of the columns from `chunk` on, for all the block's rows.
  const auto stage = [&](int64_t chunk) {
    __syncthreads();
    for (int i = threadIdx.x; i < kChunk; i += kThreads) {
      const bool active = chunk + i < n && by.relevance != 0;
      relevance[i] =
          static_cast<T>(by.relevance * load(static_cast<const T*>(p.relevance) + in.token + chunk + i, active));
    }
    __syncthreads();
  };
  T a[kColumns];
  const auto fetch = [&](int64_t t, int64_t chunk) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const int64_t u = chunk + j * kWarp + lane;
      const bool active = t < n && u < n;
      const T g = load(static_cast<const T*>(p.attention) + in.map + t * n + u, active && by_map != T(0));
      a[j] = relevance[j * kWarp + lane] + by_map * g + (t == u ? residual : T(0));
      if (!active) a[j] = 0;
    }
  };
  const auto factor = [&](T z) { return !p.normalise ? T(1) : z == T(0) ? T(0) : T(1) / z; };
  const auto magnitude = [&] {
    T z = 0;
#pragma unroll
    for (int j = 0; j < kColumns; ++j) z += fabs(a[j]);
    return z;
  };

  T scale[kRowsAWarp] = {}, weight[kRowsAWarp];
  for (int64_t chunk = 0; p.normalise && !one_chunk && chunk < n; chunk += kChunk) {
    stage(chunk);
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      fetch(first + i, chunk);
      scale[i] += magnitude();
    }
  }
#pragma unroll
  for (int i = 0; i < kRowsAWarp; ++i) {
    scale[i] = factor(warp_sum(scale[i]));
    weight[i] = load(static_cast<const T*>(p.row) + in.token + first + i, first + i < n);
  }
  for (int64_t chunk = 0; chunk < n; chunk += kChunk) {
    stage(chunk);
    T sum[kColumns] = {};
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      fetch(first + i, chunk);
      if (p.normalise && one_chunk) scale[i] = factor(warp_sum(magnitude()));
      const T by_row = weight[i] * scale[i];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sum[j] += by_row * a[j];
    }
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sums[warp][j * kWarp + lane] = sum[j];
    __syncthreads();
    for (int base = 0; base < kChunk; base += kThreads) {
      T all = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) all += sums[w][base + threadIdx.x];
      const int64_t u = chunk + base + threadIdx.x;
      store(static_cast<T*>(p.partial) + in.partial + run * n + u, all, u < n);
    }
  }
#pragma unroll
  for (int i = 0; i < kRowsAWarp; ++i) {
    const int64_t t = in.token + first + i;
    const bool active = lane == 0 && first + i < n;
    const T kept = load(static_cast<const T*>(p.identity) + t, active);
    store(static_cast<T*>(p.identity_out) + t, kept * residual * scale[i], active);
  }
}

// One block of an input's columns, over all its runs in their order.
template <typename T>
__global__ void __launch_bounds__(kThreads) add_runs(FuseRolloutCuda p) {
  const RolloutInput in = input_of_this(p);
  if (is_too_many(in)) return;
  const int64_t u = (blockIdx.x - in.run) * kRolloutRun + threadIdx.x;
  const bool active = u < in.tokens;
  double sum = 0;
  for (int64_t i = 0; i < in.runs; ++i)
    sum += static_cast<double>(load(static_cast<const T*>(p.partial) + in.partial + i * in.tokens + u, active));
  store(static_cast<T*>(p.row_out) + in.token + u, static_cast<T>(sum), active);
}

template <typename T>
cudaError_t run(const FuseRolloutCuda& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(most_rollout_runs(p.tokens, p.count)));
  cudaError_t failed =
      launch(lay_out, dim3(static_cast<unsigned>((p.count + kThreads - 1) / kThreads)), dim3(kThreads), stream, p);
  if (failed != cudaSuccess) return failed;
  if (p.lam != 1 && p.attention_scale != RolloutScale::none) {
    failed = launch(measure_maps<T>, grid, dim3(kThreads), stream, p);
    if (failed != cudaSuccess) return failed;
  }
  failed = launch(multiply<T>, grid, dim3(kThreads), stream, p);
  return failed != cudaSuccess ? failed : launch(add_runs<T>, grid, dim3(kRolloutRun), stream, p);
}

}  // namespace

cudaError_t fuse_rollout_cuda(const FuseRolloutCuda& p, cudaStream_t stream) {
  if (p.tokens == 0) return cudaSuccess;
  if (p.scalar == Scalar::f64) return run<double>(p, stream);
  return p.scalar == Scalar::f32 ? run<float>(p, stream) : cudaErrorInvalidValue;
}

}  // namespace calig_fast
