// accumulate_gradients on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include "../common/path_steps_cuda.h"
#include "../common/scalar.h"

namespace calig_fast {

struct AccumulateGradientsCuda {
  Scalar scalar, along;       // of the gradients, and of the directions: the same, or float32 where that is 16 bits
  int pairs;                  // K, 1 or 2
  const void* gradients[2];   // [rows, width[k]]
  const void* directions[2];  // [tokens, width[k]]
  const void* starts[2];      // likewise, subtracted from the directions, or null
  int64_t width[2];           // D_k
  int64_t tokens, inputs;
  const int64_t* offsets;      // [B+1]
  const int64_t* steps_begin;  // [B+1] into `steps`
  const PathStep* steps;       // [S]
  void* phi;                   // [rows]; float32, or float64 for float64 gradients, as are the next two
  void* r;                     // [tokens]
  void* lig;                   // [tokens, width[0]], or null
};

cudaError_t accumulate_gradients_cuda(const AccumulateGradientsCuda& problem, cudaStream_t stream);

}  // namespace calig_fast
