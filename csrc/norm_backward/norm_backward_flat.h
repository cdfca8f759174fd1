// norm_backward_cuda with its arguments in flat arrays, in the order of `launch` in ops/norm_backward/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "norm_backward_cuda.h"

namespace calig_fast {

// gradient, x, mean, deviation, weight, residual, out; rows, width, scalar, rows a team
inline cudaError_t norm_backward_flat(void** b, const int64_t* n, const double*) {
  return norm_backward_cuda({static_cast<Scalar>(n[2]), n[1], b[0], b[1], b[2], b[3], b[4], b[5], b[6]}, n[0], nullptr,
                            n[3]);
}

}  // namespace calig_fast
