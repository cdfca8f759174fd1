#include "device.cuh"
#include "path_steps_cuda.h"

namespace calig_fast {
namespace {

constexpr int kThreads = 128;

// Thread s makes the step of segment s and thread S + b makes begin[b], each by itself out of all segments: there are
// as many as path points, hundreds, so that S^2 reads of a cache cost less than the launches of a sort.
__global__ void __launch_bounds__(kThreads) make_steps(PathSteps p) {
  const int64_t me = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const bool is_step = me < p.segments;
  const int64_t mine = is_step ? load(p.inputs + me) : me - p.segments;
  int64_t place = 0, row = 0;
  for (int64_t s = 0; s < p.segments; ++s) {
    const int64_t input = load(p.inputs + s);
    const bool before = is_step && s < me;
    place += input < mine || (input == mine && before);
    row += load(p.offsets + input + 1, before) - load(p.offsets + input, before);
  }
  const double value = load(p.values + me, is_step);
  store(p.steps + place, PathStep{row, value}, is_step);
  store(p.begin + mine, place, !is_step && mine <= p.count);
}

}  // namespace

cudaError_t path_steps_cuda(const PathSteps& p, cudaStream_t stream) {
  const int64_t threads = p.segments + p.count + 1;
  return launch(make_steps, dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads)), dim3(kThreads), stream,
                p);
}

}  // namespace calig_fast
