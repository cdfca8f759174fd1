// fuse_rollout_cuda with its arguments in flat arrays, in the order of `launch` in ops/fuse_rollout/cuda.py.
#pragma once

#include "../common/launch_flat.h"
#include "fuse_rollout_cuda.h"

namespace calig_fast {

// relevance, attention, offsets, row, identity, row_out, identity_out; tokens, inputs, scalar, scales 2, normalise,
// entries of attention, tokens of the largest map that may be held
inline cudaError_t fuse_rollout_flat(void** b, const int64_t* n, const double* x) {
  const Exact<RolloutInput> inputs(n[1]);
  const Exact<double> measures(most_rollout_runs(n[0], n[1]));
  const size_t element = static_cast<Scalar>(n[2]) == Scalar::f64 ? sizeof(double) : sizeof(float);
  const Exact<char> partial(most_rollout_partials(n[0], n[6]) * element);
  return fuse_rollout_cuda({static_cast<Scalar>(n[2]), n[0], n[1], int64s(b[2]), b[0], b[1], b[3], b[4], x[0], x[1],
                            static_cast<RolloutScale>(n[3]), static_cast<RolloutScale>(n[4]), n[5] != 0, b[5], b[6],
                            inputs.get(), measures.get(), partial.get()},
                           nullptr, n[7]);
}

}  // namespace calig_fast
