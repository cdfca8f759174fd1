// The table of path segments as tensors, for the glue of the CUDA kernels that read it.
#pragma once

#include <ATen/ops/clone.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <optional>

#include "path_steps_cuda.h"
#include "segments.h"

namespace calig_fast {

struct StepsOnDevice {
  at::Tensor offsets, inputs, begin, steps;

  int64_t count() const { return begin.numel() - 1; }
  const PathStep* data() const { return static_cast<const PathStep*>(steps.const_data_ptr()); }
};

// A table that the caller made on the host, once for many calls: `steps` [S, 2] int64, the first row of each segment
// and the bits of its value, input after input, and `begin` [B+1].
inline StepsOnDevice given_steps(const at::Tensor& offsets, const at::Tensor& inputs, const at::Tensor& steps,
                                 const at::Tensor& begin) {
  for (const at::Tensor& table : {steps, begin})
    TORCH_CHECK(table.scalar_type() == at::kLong && table.device() == offsets.device() && table.is_contiguous(),
                "steps and begin: expected contiguous int64 on ", offsets.device());
  TORCH_CHECK(steps.dim() == 2 && steps.size(0) == inputs.numel() && steps.size(1) == 2 && begin.dim() == 1 &&
                  begin.numel() == offsets.numel(),
              "steps and begin: expected [", inputs.numel(), ", 2] and [", offsets.numel(), "], got ", steps.sizes(),
              " and ", begin.sizes());
  // the kernels read a step in one access
  const bool aligned = reinterpret_cast<uintptr_t>(steps.const_data_ptr()) % sizeof(PathStep) == 0;
  return {offsets.contiguous(), inputs, begin, aligned ? steps : steps.clone()};
}

// Checks all but the contents of `offsets` and `inputs`, which are not looked at: that would wait for the device.
inline StepsOnDevice steps_on_device(const at::Tensor& offsets, const at::Tensor& inputs, const at::Tensor& values,
                                     const char* name, const at::Tensor& like, const std::optional<at::Tensor>& steps,
                                     const std::optional<at::Tensor>& begin) {
  check_numbers(offsets, "offsets", like.device());
  check_numbers(inputs, "inputs", like.device());
  TORCH_CHECK(offsets.numel() > 0, "offsets: expected at least one entry, 0, got none");
  TORCH_CHECK(values.dim() == 1 && values.numel() == inputs.numel() && values.device() == like.device(), name,
              ": expected [", inputs.numel(), "] on ", like.device(), ", got ", values.sizes(), " on ",
              values.device());
  if (steps && begin) return given_steps(offsets, inputs, *steps, *begin);
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
