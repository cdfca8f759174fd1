#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>

#include "../common/tensors.h"
#include "linear.h"

namespace calig_fast {
namespace {

using Optional = std::optional<at::Tensor>;

at::Tensor checked(const at::Tensor& tensor, const at::Tensor& like, const char* name, at::IntArrayRef shape) {
  TORCH_CHECK(tensor.sizes() == shape && tensor.scalar_type() == like.scalar_type() && tensor.device().is_cpu(), name,
              ": expected ", shape, " ", like.scalar_type(), " on the CPU, got ", tensor.sizes(), " ",
              tensor.scalar_type(), " on ", tensor.device());
  return tensor.contiguous();
}

at::Tensor linear_on_cpu(const at::Tensor& x, const at::Tensor& weight, const Optional& bias, const Optional& residual,
                         bool backward) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2, "expected x [R, K] and a weight of two axes, got ", x.sizes(), " and ",
              weight.sizes());
  const Scalar scalar = scalar_of(x, "x");
  TORCH_CHECK(scalar == Scalar::f32 || scalar == Scalar::f64, "x: expected float32 or float64, got ", x.scalar_type());
  const int64_t rows = x.size(0), length = x.size(1), columns = weight.size(backward ? 1 : 0);
  const at::Tensor mine = checked(x, x, "x", {rows, length}),
                   added = bias ? checked(*bias, x, "bias", {columns}) : mine;
  const at::Tensor across =
      backward ? checked(weight, x, "weight", {length, columns}) : checked(weight, x, "weight", {columns, length});
  const at::Tensor around = residual ? checked(*residual, x, "residual", {rows, columns}) : mine;
  at::Tensor out = at::empty({rows, columns}, mine.options());
  const Linear problem{scalar,
                       rows,
                       length,
                       columns,
                       backward,
                       mine.const_data_ptr(),
                       across.const_data_ptr(),
                       bias ? added.const_data_ptr() : nullptr,
                       residual ? around.const_data_ptr() : nullptr,
                       out.mutable_data_ptr()};
  const int64_t panels = CALIG_PICK(linear_panels)(problem);
  if (panels == 0) return out;
  const auto body = CALIG_PICK(linear_write);
  // below some 2^20 products and additions a thread costs more than it brings
  const int64_t each = rows * length * columns / panels;
  at::parallel_for(0, panels, (int64_t{1} << 20) / (each + 1) + 1,
                   [&](int64_t begin, int64_t end) { body(problem, begin, end); });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("linear", &linear_on_cpu);
}

}  // namespace calig_fast
