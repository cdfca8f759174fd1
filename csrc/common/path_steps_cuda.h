// The path segments as the GPU's kernels read them: grouped by input, a place and a number each. Made on the device,
// where the offsets are: reading those would make every call wait. All pointers are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace calig_fast {

// One path segment, 16 bytes, so that one access brings it.
struct alignas(16) PathStep {
  int64_t row;   // where its rows begin
  double value;  // its node or weight
};

struct PathSteps {
  int64_t count, segments;  // B, S
  const int64_t* offsets;   // [B+1]
  const int64_t* inputs;    // [S]
  const double* values;     // [S]
  int64_t* begin;           // [B+1]: steps[begin[b]] .. steps[begin[b+1]] are those of input b
  PathStep* steps;          // [S]
};

// Writes `begin` and `steps`.
cudaError_t path_steps_cuda(const PathSteps& problem, cudaStream_t stream);

}  // namespace calig_fast
