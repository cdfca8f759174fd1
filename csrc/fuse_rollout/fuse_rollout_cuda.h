// fuse_rollout on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../common/scalar.h"
#include "fuse_rollout.h"

namespace calig_fast {

constexpr int64_t kRolloutRun = 32;  // rows of a map that one block takes

// Where one input's parts begin.
struct alignas(16) RolloutInput {
  int64_t token, tokens;  // in the packed vectors; T
  int64_t map;            // in `attention`
  int64_t run, runs;      // the blocks that take its rows
  int64_t partial;        // in `partial`, runs of T numbers
};

// Not less than the runs of all inputs, ceil(T / 32) each, and than their sums' numbers, T a run: how many there are is
// in `offsets`, for which the host would have to wait.
inline int64_t most_rollout_runs(int64_t tokens, int64_t count) {
  return tokens / kRolloutRun + count;
}
inline int64_t most_rollout_partials(int64_t tokens, int64_t entries) {
  return entries / kRolloutRun + tokens;
}

struct FuseRolloutCuda {
  Scalar scalar;  // f32 or f64
  int64_t tokens, count;
  const int64_t* offsets;  // [B+1]
  const void* relevance;   // [tokens], not read where lam is 0
  const void* attention;   // [sum_b T_b^2], not read where lam is 1
  const void* row;         // [tokens]
  const void* identity;    // [tokens]
  double lam, residual;
  RolloutScale relevance_scale, attention_scale;
  bool normalise;
  void* row_out;         // [tokens]
  void* identity_out;    // [tokens]
  RolloutInput* inputs;  // [B] scratch
  double* measures;      // [most_rollout_runs] scratch
  void* partial;         // [most_rollout_partials] scratch
};

// Maps of up to 200 tokens (float64: 141) and at most `most_held` are read once, into shared memory that holds them.
cudaError_t fuse_rollout_cuda(const FuseRolloutCuda& problem, cudaStream_t stream, int64_t most_held = 200);

}  // namespace calig_fast
