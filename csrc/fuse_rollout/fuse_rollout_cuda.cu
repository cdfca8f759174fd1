// A map that one block's shared memory holds is read once, by that block. Of longer ones runs of rows are taken in
// three launches: the maps' denominators; the rows; the runs' sums. Such a map is read twice where its denominator must
// be known first, the second time from L2 unless it is larger than that. Before all, where each input's parts lie.
#include "fuse_rollout_cuda.h"
#include "fuse_rollout_held.cuh"

namespace calig_fast {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;
constexpr int kRowsAWarp = kRolloutRun / kWarps;
constexpr int kColumns = 16, kChunk = kColumns * kWarp;  // columns that a lane and a warp hold

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

// Whether this block is one too many, or its rows are of a map that is held.
__device__ __forceinline__ bool is_idle(const RolloutInput& in, int64_t held) {
  return blockIdx.x - in.run >= in.runs || in.tokens <= held;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) measure_maps(FuseRolloutCuda p, int64_t held) {
  __shared__ double parts[kWarps];
  const RolloutInput in = input_of_this(p);
  if (is_idle(in, held)) return;
  const int64_t first = (blockIdx.x - in.run) * kRolloutRun;
  const int64_t rows = in.tokens - first < kRolloutRun ? in.tokens - first : kRolloutRun;
  const T* map = static_cast<const T*>(p.attention) + in.map + first * in.tokens;
  const auto at = [&](int64_t i, bool active) { return load(map + i, active); };
  const double all = measure_block<T, kWarps>(at, rows * in.tokens, p.attention_scale == RolloutScale::max, parts);
  store(p.measures + blockIdx.x, all, threadIdx.x == 0);
}

// What the map is multiplied by, its runs having been measured.
__device__ double map_factor(const FuseRolloutCuda& p, const RolloutInput& in) {
  if (p.lam == 1 || p.attention_scale == RolloutScale::none) return 1 - p.lam;
  double denominator = 0;
  for (int64_t i = 0; i < in.runs; ++i) {
    const double run = load(p.measures + in.run + i);
    denominator = p.attention_scale == RolloutScale::max ? greater(denominator, run) : denominator + run;
  }
  return (1 - p.lam) * reciprocal(denominator);
}

// A block takes kRolloutRun rows of one map, a warp kRowsAWarp of them: it holds kChunk columns of one row at a time,
// and the sum over its rows of the same columns, which the block then adds up, warp by warp.
template <typename T>
__global__ void __launch_bounds__(kThreads, 1) multiply(FuseRolloutCuda p, int64_t held) {
  __shared__ double parts[kWarps];
  __shared__ T relevance[kChunk], sums[kWarps][kChunk];
  const RolloutInput in = input_of_this(p);
  if (is_idle(in, held)) return;
  const double by_relevance = relevance_factor<T, kWarps>(p, in, parts);
  const T residual = static_cast<T>(p.residual), by_map = static_cast<T>(map_factor(p, in));
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t run = blockIdx.x - in.run, n = in.tokens, first = run * kRolloutRun + warp * kRowsAWarp;
  const bool one_chunk = n <= kChunk;

  // The relevance's part of the columns from `chunk` on, for all the block's rows.
  const auto stage = [&](int64_t chunk) {
    __syncthreads();
    for (int i = threadIdx.x; i < kChunk; i += kThreads) {
      const bool active = chunk + i < n && by_relevance != 0;
      relevance[i] =
          static_cast<T>(by_relevance * load(static_cast<const T*>(p.relevance) + in.token + chunk + i, active));
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
    scale[i] = row_factor(p, warp_sum(scale[i]));
    weight[i] = load(static_cast<const T*>(p.row) + in.token + first + i, first + i < n);
  }
  for (int64_t chunk = 0; chunk < n; chunk += kChunk) {
    stage(chunk);
    T sum[kColumns] = {};
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      fetch(first + i, chunk);
      if (p.normalise && one_chunk) scale[i] = row_factor(p, warp_sum(magnitude()));
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
__global__ void __launch_bounds__(kThreads) add_runs(FuseRolloutCuda p, int64_t held) {
  const RolloutInput in = input_of_this(p);
  if (is_idle(in, held)) return;
  const int64_t u = (blockIdx.x - in.run) * kRolloutRun + threadIdx.x;
  const bool active = u < in.tokens;
  double sum = 0;
  for (int64_t i = 0; i < in.runs; ++i)
    sum += static_cast<double>(load(static_cast<const T*>(p.partial) + in.partial + i * in.tokens + u, active));
  store(static_cast<T*>(p.row_out) + in.token + u, static_cast<T>(sum), active);
}

// Tokens of the largest map that a block of this device can hold.
template <typename T>
int64_t most_that_fit(int64_t most) {
#if !defined(EMULATION)
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess ||
      bytes < static_cast<int>(kHeldBytes + 4096))
    return 0;
#endif
  return most < kHeld<T> ? most : kHeld<T>;
}

template <typename T>
cudaError_t run(const FuseRolloutCuda& p, cudaStream_t stream, int64_t most) {
  const int64_t held = most_that_fit<T>(most), longest = p.tokens < held ? p.tokens : held;
  const dim3 grid(static_cast<unsigned>(most_rollout_runs(p.tokens, p.count))), threads(kThreads);
  cudaError_t failed =
      launch(lay_out, dim3(static_cast<unsigned>((p.count + kThreads - 1) / kThreads)), threads, stream, p);
  if (failed != cudaSuccess) return failed;
  if (held > 0) {
    const size_t bytes = sizeof(T) * longest * (longest < kHolders ? kHolders : longest);
    failed = launch_sharing(bytes, hold_maps<T>, dim3(static_cast<unsigned>(p.count)), dim3(kHolders * kWarp), stream,
                            p, held);
    if (failed != cudaSuccess || p.tokens <= held) return failed;
  }
  if (p.lam != 1 && p.attention_scale != RolloutScale::none) {
    failed = launch(measure_maps<T>, grid, threads, stream, p, held);
    if (failed != cudaSuccess) return failed;
  }
  failed = launch(multiply<T>, grid, threads, stream, p, held);
  return failed != cudaSuccess ? failed : launch(add_runs<T>, grid, dim3(kRolloutRun), stream, p, held);
}

}  // namespace

cudaError_t fuse_rollout_cuda(const FuseRolloutCuda& p, cudaStream_t stream, int64_t most_held) {
  if (p.tokens == 0) return cudaSuccess;
  if (p.scalar == Scalar::f64) return run<double>(p, stream, most_held);
  return p.scalar == Scalar::f32 ? run<float>(p, stream, most_held) : cudaErrorInvalidValue;
}

}  // namespace calig_fast
