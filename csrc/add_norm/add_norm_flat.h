// add_norm_cuda with its arguments in flat arrays, in the order of `launch` in ops/add_norm/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "add_norm_cuda.h"

namespace calig_fast {

// x, residual, weight, bias, out, total, mean, deviation; rows, width, scalar, rows a team; eps
inline cudaError_t add_norm_flat(void** b, const int64_t* n, const double* x) {
  return add_norm_cuda({static_cast<Scalar>(n[2]), n[1], x[0], b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]}, n[0],
                       nullptr, n[3]);
}

}  // namespace calig_fast
