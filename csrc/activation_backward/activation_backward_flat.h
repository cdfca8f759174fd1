// activation_backward_cuda with its arguments in flat arrays, in the order of `launch` in
// ops/activation_backward/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "activation_backward_cuda.h"

namespace calig_fast {

// gradient, inner, out; rows, width, scalar, kind, gated
inline cudaError_t activation_backward_flat(void** b, const int64_t* n, const double*) {
  return activation_backward_cuda(
      {static_cast<Scalar>(n[2]), static_cast<Activation>(n[3]), n[4] != 0, n[1], b[0], b[1], b[2]}, n[0], nullptr);
}

}  // namespace calig_fast
