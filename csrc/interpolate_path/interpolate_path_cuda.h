// interpolate_path on a GPU: all pointers but the struct's own address are device memory.
#pragma once

#include <cuda_runtime.h>

#include "../common/path_steps_cuda.h"
#include "../common/scalar.h"

namespace calig_fast {

struct InterpolatePathCuda {
  Scalar scalar, out;  // of the ends, and of the points: the same, or 16 bits where that is float32
  const void* start;   // [tokens, width]
  const void* end;     // [tokens, width]
  const void* before;  // [before_rows, width], of the points' type
  void* points;        // [before_rows + rows, width]
  int64_t tokens, width, inputs, before_rows;
  const int64_t* offsets;      // [B+1]
  const int64_t* steps_begin;  // [B+1] into `steps`
  const PathStep* steps;       // [S]
};

cudaError_t interpolate_path_cuda(const InterpolatePathCuda& problem, cudaStream_t stream);

}  // namespace calig_fast
