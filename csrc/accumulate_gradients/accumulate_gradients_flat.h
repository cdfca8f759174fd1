// accumulate_gradients_cuda with its arguments in flat arrays, in the order of `launch` in
// ops/accumulate_gradients/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "accumulate_gradients_cuda.h"

namespace calig_fast {

// gradients 2, directions 2, starts 2, offsets, inputs, weights, phi, r, lig; tokens, widths 2, inputs, segments,
// scalars 2, pairs, whether there is lig
inline cudaError_t accumulate_gradients_flat(void** b, const int64_t* n, const double*) {
  const Exact<int64_t> begin(n[3] + 1);
  const Exact<PathStep> steps(n[4]);
  if (const cudaError_t failed = make_steps(b + 6, n + 3, begin, steps); failed != cudaSuccess) return failed;
  return accumulate_gradients_cuda({static_cast<Scalar>(n[5]),
                                    static_cast<Scalar>(n[6]),
                                    static_cast<int>(n[7]),
                                    {b[0], b[1]},
                                    {b[2], b[3]},
                                    {b[4], b[5]},
                                    {n[1], n[2]},
                                    n[0],
                                    n[3],
                                    int64s(b[6]),
                                    begin.get(),
                                    steps.get(),
                                    b[9],
                                    b[10],
                                    n[8] ? b[11] : nullptr},
                                   nullptr);
}

}  // namespace calig_fast
