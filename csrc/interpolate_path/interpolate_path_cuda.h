// interpolate_path on a GPU: all pointers but the struct's own address are device memory.
#pragma once

#include <cuda_runtime.h>

#include "../common/path_steps_cuda.h"
#include "../common/scalar.h"

namespace calig_fast {

struct InterpolatePathCuda {
  Scalar scalar;
  const void* start;  // [tokens, width]
  const void* end;    // [tokens, width]
  void* points;       // [rows, width]
  int64_t tokens, width, inputs;
  const int64_t* offsets;      // [B+1]
  const int64_t* steps_begin;  // [B+1] into `steps`
  const PathStep* steps;       // [S]
};

cudaError_t interpolate_path_cuda(const InterpolatePathCuda& problem, cudaStream_t stream);

}  // namespace calig_fast
