#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <string>
#include <string_view>

#include "../common/tensors.h"
#include "activation_backward.h"

#if defined(CALIG_WITH_CUDA)
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "activation_backward_cuda.h"
#endif

namespace calig_fast {
namespace {

Activation parsed(c10::string_view kind) {
  const std::string_view text(kind.data(), kind.size());
  if (text == "gelu") return Activation::gelu;
  if (text == "gelu_tanh") return Activation::gelu_tanh;
  if (text == "relu") return Activation::relu;
  if (text == "silu") return Activation::silu;
  if (text == "quick_gelu") return Activation::quick_gelu;
  if (text == "relu_squared") return Activation::relu_squared;
  TORCH_CHECK(false, "kind: unknown activation '", std::string(text), "'");
}

// Checks the arguments and calls run(problem, rows).
template <typename Run>
at::Tensor checked(const at::Tensor& gradient, const at::Tensor& inner, c10::string_view kind, bool gated, Run run) {
  TORCH_CHECK(gradient.dim() == 2 && inner.dim() == 2 && inner.size(0) == gradient.size(0) &&
                  inner.size(1) == (gated ? 2 : 1) * gradient.size(1),
              "gradient and inner: expected [R, I] with ", gated ? "[R, 2I]" : "[R, I]", ", got ", gradient.sizes(),
              " with ", inner.sizes());
  TORCH_CHECK(inner.scalar_type() == gradient.scalar_type() && inner.device() == gradient.device(), "inner: expected ",
              gradient.scalar_type(), " on ", gradient.device(), ", got ", inner.scalar_type(), " on ", inner.device());
  const at::Tensor g = gradient.contiguous(), u = inner.contiguous();
  at::Tensor out = at::empty(u.sizes(), u.options());
  const int64_t width = g.size(1);
  const ActivationBackward problem{scalar_of(g, "gradient"), parsed(kind),          gated, width, g.const_data_ptr(),
                                   u.const_data_ptr(),       out.mutable_data_ptr()};
  run(problem, g.size(0));
  return out;
}

at::Tensor activation_backward_on_cpu(const at::Tensor& gradient, const at::Tensor& inner, c10::string_view kind,
                                      bool gated) {
  return checked(gradient, inner, kind, gated, [](const ActivationBackward& problem, int64_t rows) {
    const auto body = CALIG_PICK(activation_backward_rows);
    at::parallel_for(0, rows, 32768 / (problem.width + 1) + 1,
                     [&](int64_t begin, int64_t end) { body(problem, begin, end); });
  });
}

#if defined(CALIG_WITH_CUDA)
at::Tensor activation_backward_on_cuda(const at::Tensor& gradient, const at::Tensor& inner, c10::string_view kind,
                                       bool gated) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  return checked(gradient, inner, kind, gated, [](const ActivationBackward& problem, int64_t rows) {
    C10_CUDA_CHECK(activation_backward_cuda(problem, rows, c10::cuda::getCurrentCUDAStream()));
  });
}
#endif

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("activation_backward", &activation_backward_on_cpu);
}

#if defined(CALIG_WITH_CUDA)
TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("activation_backward", &activation_backward_on_cuda);
}
#endif

}  // namespace calig_fast
