// activation_backward on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../common/scalar.h"
#include "activation_backward.h"

namespace calig_fast {

cudaError_t activation_backward_cuda(const ActivationBackward& problem, int64_t rows, cudaStream_t stream);

}  // namespace calig_fast
