// add_norm on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../common/scalar.h"
#include "add_norm.h"

namespace calig_fast {

// `rows_a_team` consecutive rows go to one warp or block; 0: as many as suit `rows`.
cudaError_t add_norm_cuda(const AddNorm& problem, int64_t rows, cudaStream_t stream, int64_t rows_a_team = 0);

}  // namespace calig_fast
