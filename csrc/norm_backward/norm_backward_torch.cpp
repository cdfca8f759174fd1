#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>

#include "../common/tensors.h"
#include "norm_backward.h"

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

at::Tensor norm_backward_cpu(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& mean,
                             const at::Tensor& deviation, const std::optional<at::Tensor>& weight,
                             const std::optional<at::Tensor>& residual) {
  TORCH_CHECK(gradient.dim() == 2, "gradient: expected [R, D], got ", gradient.sizes());
  const int64_t width = gradient.size(1);
  check(x, gradient, "x", gradient.sizes());
  const at::Tensor middle = statistic(mean, gradient, "mean"), scale = statistic(deviation, gradient, "deviation");
  at::Tensor factor, added;
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
                             middle.const_data_ptr(),
                             scale.const_data_ptr(),
                             weight ? factor.const_data_ptr() : nullptr,
                             residual ? added.const_data_ptr() : nullptr,
                             out.mutable_data_ptr()};
  const auto body = CALIG_PICK(norm_backward_rows);
  at::parallel_for(0, g.size(0), 32768 / (width + 1) + 1,
                   [&](int64_t begin, int64_t end) { body(problem, begin, end); });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("norm_backward", &norm_backward_cpu);
}

}  // namespace calig_fast
