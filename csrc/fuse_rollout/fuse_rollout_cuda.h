// fuse_rollout on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "../common/scalar.h"

namespace calig_fast {

enum class RolloutScale { none, sum, max, max_t };

constexpr int64_t kRolloutRun = 32;  // rows of a map that one block takes

// Where one input's parts begin.
struct alignas(16) RolloutInput {
  int64_t token, tokens;  // in the packed vectors; T
  int64_t map;            // in `attention`
  int64_t run, runs;      // the blocks that take its rows
  int64_t partial;        // in `partial`, runs of T numbers
};

struct RolloutTables {
  std::vector<RolloutInput> inputs;
  std::vector<int64_t> input_of_run;
  int64_t partials;  // numbers that `partial` must hold
};

// `offsets` [B+1] as checked.
inline RolloutTables rollout_tables(const int64_t* offsets, int64_t count) {
  RolloutTables out{{}, {}, 0};
  int64_t map = 0;
  for (int64_t b = 0; b < count; ++b) {
    const int64_t tokens = offsets[b + 1] - offsets[b], runs = (tokens + kRolloutRun - 1) / kRolloutRun;
    out.inputs.push_back({offsets[b], tokens, map, static_cast<int64_t>(out.input_of_run.size()), runs, out.partials});
    out.input_of_run.insert(out.input_of_run.end(), runs, b);
    out.partials += runs * tokens;
    map += tokens * tokens;
  }
  return out;
}

struct FuseRolloutCuda {
  Scalar scalar;  // f32 or f64
  int64_t tokens, count, runs;
  const RolloutInput* inputs;   // [B]
  const int64_t* input_of_run;  // [runs]
  const void* relevance;        // [tokens], not read where lam is 0
  const void* attention;        // [sum_b T_b^2], not read where lam is 1
  const void* row;              // [tokens]
  const void* identity;         // [tokens]
  double lam, residual;
  RolloutScale relevance_scale, attention_scale;
  bool normalise;
  void* row_out;       // [tokens]
  void* identity_out;  // [tokens]
  double* measures;    // [runs] scratch
  void* partial;       // [partials] scratch
};

cudaError_t fuse_rollout_cuda(const FuseRolloutCuda& problem, cudaStream_t stream);

}  // namespace calig_fast
