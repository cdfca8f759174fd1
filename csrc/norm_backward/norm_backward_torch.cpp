#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>

#include "../common/tensors.h"
#include "norm_backward.h"

#if defined(CALIG_WITH_CUDA)
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "norm_backward_cuda.h"
#endif

namespace calig_fast {
namespace {

void check(const at::Tensor& tensor, const at::Tensor& like, const char* name, at::IntArrayRef shape) {
  TORCH_CHECK(tensor.sizes() == shape && tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device(),
              name, ": expected ", shape, " ", like.scalar_type(), " on ", like.device(), ", got ", tensor.sizes(), " ",
              tensor.scalar_type(), " on ", tensor.device());
}

// Mean or deviation, in the type that the arithmetic is in.
at::Tensor statistic(const at::Tensor& tensor, const at::Tensor& like, const char* name) {
  const at::ScalarType wide = like.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  TORCH_CHECK(tensor.dim() == 2 && tensor.size(0) == like.size(0) && tensor.size(1) == 1 &&
                  (tensor.scalar_type() == wide || tensor.scalar_type() == like.scalar_type()) &&
                  tensor.device() == like.device(),
              name, ": expected [", like.size(0), ", 1] ", wide, " on ", like.device(), ", got ", tensor.sizes(), " ",
              tensor.scalar_type(), " on ", tensor.device());
  return tensor.to(wide).contiguous();
}

using Optional = std::optional<at::Tensor>;

// Checks the arguments and calls run(problem, rows).
template <typename Run>
at::Tensor checked(const at::Tensor& gradient, const at::Tensor& x, const Optional& mean, const at::Tensor& deviation,
                   const Optional& weight, const Optional& residual, Run run) {
  TORCH_CHECK(gradient.dim() == 2, "gradient: expected [R, D], got ", gradient.sizes());
  const int64_t width = gradient.size(1);
  check(x, gradient, "x", gradient.sizes());
  const at::Tensor scale = statistic(deviation, gradient, "deviation");
  at::Tensor middle, factor, added;
  if (mean) middle = statistic(*mean, gradient, "mean");
  if (weight) {
    check(*weight, gradient, "weight", {width});
    factor = weight->contiguous();
  }
  if (residual) {
    check(*residual, gradient, "residual", gradient.sizes());
    added = residual->contiguous();
  }
  const at::Tensor g = gradient.contiguous(), rows = x.contiguous();
  at::Tensor out = at::empty(g.sizes(), g.options());
  const NormBackward problem{scalar_of(g, "gradient"),
                             width,
                             g.const_data_ptr(),
                             rows.const_data_ptr(),
                             mean ? middle.const_data_ptr() : nullptr,
                             scale.const_data_ptr(),
                             weight ? factor.const_data_ptr() : nullptr,
                             residual ? added.const_data_ptr() : nullptr,
                             out.mutable_data_ptr()};
  run(problem, g.size(0));
  return out;
}

at::Tensor norm_backward_on_cpu(const at::Tensor& gradient, const at::Tensor& x, const Optional& mean,
                                const at::Tensor& deviation, const Optional& weight, const Optional& residual) {
  const auto run = [](const NormBackward& problem, int64_t rows) {
    const auto body = CALIG_PICK(norm_backward_rows);
    at::parallel_for(0, rows, 32768 / (problem.width + 1) + 1,
                     [&](int64_t begin, int64_t end) { body(problem, begin, end); });
  };
  return checked(gradient, x, mean, deviation, weight, residual, run);
}

#if defined(CALIG_WITH_CUDA)
at::Tensor norm_backward_on_cuda(const at::Tensor& gradient, const at::Tensor& x, const Optional& mean,
                                 const at::Tensor& deviation, const Optional& weight, const Optional& residual) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  const auto run = [](const NormBackward& problem, int64_t rows) {
    C10_CUDA_CHECK(norm_backward_cuda(problem, rows, c10::cuda::getCurrentCUDAStream()));
  };
  return checked(gradient, x, mean, deviation, weight, residual, run);
}
#endif

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("norm_backward", &norm_backward_on_cpu);
}

#if defined(CALIG_WITH_CUDA)
TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("norm_backward", &norm_backward_on_cuda);
}
#endif

}  // namespace calig_fast
