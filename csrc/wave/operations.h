// The fused operations as C++ functions: through PyTorch's dispatcher, so that the tensors' device decides the kernel.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string>
#include <tuple>

namespace calig_fast {

using Optional = std::optional<at::Tensor>;

namespace operations {

// A handle is looked up once a process: the package defines the operations before it calls any of them.
template <typename Signature>
auto found(const char* name) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow((std::string("calig_fast::") + name).c_str(), "")
      .typed<Signature>();
}

inline at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias, const Optional& residual,
                         bool backward) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const Optional&, const Optional&, bool);
  static const auto handle = found<Signature>("linear");
  return handle.call(x, weight, bias, residual, backward);
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> add_norm(const at::Tensor& x,
                                                                           const at::Tensor& residual,
                                                                           const Optional& weight, const Optional& bias,
                                                                           double eps) {
  using Signature = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const Optional&, const Optional&, double);
  static const auto handle = found<Signature>("add_norm");
  return handle.call(x, residual, weight, bias, eps);
}

inline at::Tensor norm_backward(const at::Tensor& gradient, const at::Tensor& x, const Optional& mean,
                                const at::Tensor& deviation, const Optional& weight, const Optional& residual) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const Optional&, const at::Tensor&,
                               const Optional&, const Optional&);
  static const auto handle = found<Signature>("norm_backward");
  return handle.call(gradient, x, mean, deviation, weight, residual);
}

inline at::Tensor activation_backward(const at::Tensor& gradient, const at::Tensor& inner, c10::string_view kind,
                                      bool gated) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, c10::string_view, bool);
  static const auto handle = found<Signature>("activation_backward");
  return handle.call(gradient, inner, kind, gated);
}

inline std::tuple<at::Tensor, at::Tensor> attention_forward(const at::Tensor& qkv, const at::Tensor& offsets,
                                                            int64_t longest, double scale, const Optional& bias,
                                                            const Optional& relative) {
  using Signature = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, int64_t, double,
                                                       const Optional&, const Optional&, int64_t, int64_t);
  static const auto handle = found<Signature>("attention_forward");
  return handle.call(qkv, offsets, longest, scale, bias, relative, -1, -1);
}

inline std::tuple<at::Tensor, at::Tensor> attention_backward(const at::Tensor& gradient, const at::Tensor& qkv,
                                                             const at::Tensor& out, const at::Tensor& lse,
                                                             const at::Tensor& offsets, int64_t longest, double scale,
                                                             int64_t maps, bool positive, const Optional& bias,
                                                             const Optional& relative) {
  using Signature = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                       const at::Tensor&, const at::Tensor&, int64_t, double, int64_t,
                                                       bool, const Optional&, const Optional&, int64_t, int64_t);
  static const auto handle = found<Signature>("attention_backward");
  return handle.call(gradient, qkv, out, lse, offsets, longest, scale, maps, positive, bias, relative, -1, -1);
}

inline at::Tensor attention_gradient(const at::Tensor& gradient, const at::Tensor& qkv, const at::Tensor& lse,
                                     const at::Tensor& offsets, int64_t longest, double scale, bool positive,
                                     const Optional& bias, const Optional& relative) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t,
                               double, bool, bool, const Optional&, const Optional&, int64_t, int64_t);
  static const auto handle = found<Signature>("attention_gradient");
  return handle.call(gradient, qkv, lse, offsets, longest, scale, positive, false, bias, relative, -1, -1);
}

inline at::Tensor interpolate_path(const at::Tensor& start, const at::Tensor& end, const at::Tensor& offsets,
                                   const at::Tensor& inputs, const at::Tensor& nodes, int64_t rows,
                                   const at::Tensor& before, const at::Tensor& steps, const at::Tensor& begin) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                 std::optional<int64_t>, const Optional&, const Optional&, const Optional&);
  static const auto handle = found<Signature>("interpolate_path");
  return handle.call(start, end, offsets, inputs, nodes, rows, before, steps, begin);
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor> accumulate_gradients(
    at::TensorList gradients, at::TensorList directions, at::TensorList starts, const at::Tensor& offsets,
    const at::Tensor& inputs, const at::Tensor& weights, const at::Tensor& steps, const at::Tensor& begin) {
  using Signature = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
      at::TensorList, at::TensorList, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool,
      std::optional<at::TensorList>, const Optional&, const Optional&);
  static const auto handle = found<Signature>("accumulate_gradients");
  return handle.call(gradients, directions, offsets, inputs, weights, false, starts, steps, begin);
}

}  // namespace operations
}  // namespace calig_fast
