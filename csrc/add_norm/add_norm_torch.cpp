#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>
#include <tuple>

#include "../common/tensors.h"
#include "add_norm.h"

#if defined(CALIG_WITH_CUDA)
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "add_norm_cuda.h"
#endif

namespace calig_fast {
namespace {

using Optional = std::optional<at::Tensor>;
using Results = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

at::Tensor checked(const at::Tensor& tensor, const at::Tensor& like, const char* name, at::IntArrayRef shape) {
  TORCH_CHECK(tensor.sizes() == shape && tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device(),
              name, ": expected ", shape, " ", like.scalar_type(), " on ", like.device(), ", got ", tensor.sizes(), " ",
              tensor.scalar_type(), " on ", tensor.device());
  return tensor.contiguous();
}

// Checks the arguments and calls run(problem, rows).
template <typename Run>
Results prepared(const at::Tensor& x, const at::Tensor& residual, const Optional& weight, const Optional& bias,
                 double eps, Run run) {
  TORCH_CHECK(x.dim() == 2, "x: expected [R, D], got ", x.sizes());
  const at::Tensor rows = x.contiguous(), added = checked(residual, x, "residual", x.sizes()),
                   factor = weight ? checked(*weight, x, "weight", {x.size(1)}) : rows,
                   shift = bias ? checked(*bias, x, "bias", {x.size(1)}) : rows;
  const auto wide = x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor out = at::empty(x.sizes(), x.options()), total = at::empty(x.sizes(), x.options()),
             mean = at::empty({x.size(0), 1}, wide), deviation = at::empty({x.size(0), 1}, wide);
  const AddNorm problem{scalar_of(x, "x"),
                        x.size(1),
                        eps,
                        rows.const_data_ptr(),
                        added.const_data_ptr(),
                        weight ? factor.const_data_ptr() : nullptr,
                        bias ? shift.const_data_ptr() : nullptr,
                        out.mutable_data_ptr(),
                        total.mutable_data_ptr(),
                        mean.mutable_data_ptr(),
                        deviation.mutable_data_ptr()};
  run(problem, x.size(0));
  return {out, total, mean, deviation};
}

Results add_norm_on_cpu(const at::Tensor& x, const at::Tensor& residual, const Optional& weight, const Optional& bias,
                        double eps) {
  return prepared(x, residual, weight, bias, eps, [](const AddNorm& problem, int64_t rows) {
    const auto body = CALIG_PICK(add_norm_rows);
    at::parallel_for(0, rows, 32768 / (problem.width + 1) + 1,
                     [&](int64_t begin, int64_t end) { body(problem, begin, end); });
  });
}

#if defined(CALIG_WITH_CUDA)
Results add_norm_on_cuda(const at::Tensor& x, const at::Tensor& residual, const Optional& weight, const Optional& bias,
                         double eps) {
  const c10::cuda::CUDAGuard guard(x.device());
  return prepared(x, residual, weight, bias, eps, [](const AddNorm& problem, int64_t rows) {
    C10_CUDA_CHECK(add_norm_cuda(problem, rows, c10::cuda::getCurrentCUDAStream()));
  });
}
#endif

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("add_norm", &add_norm_on_cpu);
}

#if defined(CALIG_WITH_CUDA)
TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("add_norm", &add_norm_on_cuda);
}
#endif

}  // namespace calig_fast
