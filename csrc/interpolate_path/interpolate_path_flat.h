// interpolate_path_cuda with its arguments in flat arrays, in the order of `launch` in ops/interpolate_path/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "interpolate_path_cuda.h"

namespace calig_fast {

// start, end, offsets, inputs, nodes, before, points; tokens, width, inputs, segments, scalars 2, rows before
inline cudaError_t interpolate_path_flat(void** b, const int64_t* n, const double*) {
  const Exact<int64_t> begin(n[2] + 1);
  const Exact<PathStep> steps(n[3]);
  if (const cudaError_t failed = make_steps(b + 2, n + 2, begin, steps); failed != cudaSuccess) return failed;
  return interpolate_path_cuda({static_cast<Scalar>(n[4]), static_cast<Scalar>(n[5]), b[0], b[1], b[5], b[6], n[0],
                                n[1], n[2], n[6], int64s(b[2]), begin.get(), steps.get()},
                               nullptr);
}

}  // namespace calig_fast
