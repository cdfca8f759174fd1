// norm_backward on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../common/scalar.h"
#include "norm_backward.h"

namespace calig_fast {

cudaError_t norm_backward_cuda(const NormBackward& problem, int64_t rows, cudaStream_t stream);

}  // namespace calig_fast
