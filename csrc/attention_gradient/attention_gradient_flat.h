// attention_gradient_cuda with its arguments in flat arrays, in the order of `launch` in
// ops/attention_gradient/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "attention_gradient_cuda.h"

namespace calig_fast {

// gradient, qkv, lse, offsets, bias, relative, maps; rows, heads, size, segments, longest, scalar, positive, the bias's
// side, the distances of relative, before, after
inline cudaError_t attention_gradient_flat(void** b, const int64_t* n, const double* x) {
  return attention_gradient_cuda({static_cast<Scalar>(n[5]),
                                  n[0],
                                  n[1],
                                  n[2],
                                  n[3],
                                  n[4],
                                  x[0],
                                  n[6] != 0,
                                  false,
                                  b[0],
                                  b[1],
                                  b[2],
                                  int64s(b[3]),
                                  b[6],
                                  b[4],
                                  n[7],
                                  b[5],
                                  n[8],
                                  n[9],
                                  n[10]},
                                 nullptr);
}

}  // namespace calig_fast
