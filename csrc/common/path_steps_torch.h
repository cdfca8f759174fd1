// The table of path segments as tensors, for the glue of the CUDA kernels that read it.
#pragma once

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "path_steps_cuda.h"
#include "segments.h"

namespace calig_fast {

struct StepsOnDevice {
  at::Tensor offsets, inputs, begin, steps;

  int64_t count() const { return begin.numel() - 1; }
  const PathStep* data() const { return static_cast<const PathStep*>(steps.const_data_ptr()); }
};

// Checks all but the contents of `offsets` and `inputs`, which are not looked at: that would wait for the device.
inline StepsOnDevice steps_on_device(const at::Tensor& offsets, const at::Tensor& inputs, const at::Tensor& values,
                                     const char* name, const at::Tensor& like) {
  check_numbers(offsets, "offsets", like.device());
  check_numbers(inputs, "inputs", like.device());
  TORCH_CHECK(offsets.numel() > 0, "offsets: expected at least one entry, 0, got none");
  TORCH_CHECK(values.dim() == 1 && values.numel() == inputs.numel() && values.device() == like.device(), name,
              ": expected [", inputs.numel(), "] on ", like.device(), ", got ", values.sizes(), " on ",
              values.device());
  const at::Tensor wide = values.to(at::kDouble).contiguous();
  StepsOnDevice out{offsets.contiguous(), inputs.contiguous(), at::empty(offsets.sizes(), offsets.options()),
                    at::empty({inputs.numel(), 2}, inputs.options())};
  static_assert(sizeof(PathStep) == 2 * sizeof(int64_t));
  const PathSteps problem{out.count(),
                          inputs.numel(),
                          out.offsets.const_data_ptr<int64_t>(),
                          out.inputs.const_data_ptr<int64_t>(),
                          wide.const_data_ptr<double>(),
                          out.begin.mutable_data_ptr<int64_t>(),
                          static_cast<PathStep*>(out.steps.mutable_data_ptr())};
  C10_CUDA_CHECK(path_steps_cuda(problem, c10::cuda::getCurrentCUDAStream()));
  return out;
}

}  // namespace calig_fast
