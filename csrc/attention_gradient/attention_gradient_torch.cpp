#include <torch/library.h>

#include <algorithm>
#include <optional>

#if defined(CALIG_WITH_CUDA)
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "../common/tensors.h"
#include "attention_gradient_cuda.h"

namespace calig_fast {
namespace {

void check(const at::Tensor& tensor, const at::Tensor& like, const char* name, at::IntArrayRef shape,
           at::ScalarType type) {
  TORCH_CHECK(tensor.sizes() == shape && tensor.scalar_type() == type && tensor.device() == like.device(), name,
              ": expected ", shape, " ", type, " on ", like.device(), ", got ", tensor.sizes(), " ",
              tensor.scalar_type(), " on ", tensor.device());
}

// That the offsets fit the rows is looked at nowhere: it would wait for the device.
at::Tensor attention_gradient_on_cuda(const at::Tensor& gradient, const at::Tensor& qkv, const at::Tensor& lse,
                                      const at::Tensor& offsets, int64_t longest, double scale, bool positive,
                                      bool tf32, const std::optional<at::Tensor>& bias,
                                      const std::optional<at::Tensor>& relative, int64_t before, int64_t after) {
  TORCH_CHECK(qkv.dim() == 4 && qkv.size(1) == 3, "qkv: expected [rows, 3, H, E], got ", qkv.sizes());
  TORCH_CHECK(offsets.dim() == 1 && offsets.numel() > 0, "offsets: expected [S+1], got ", offsets.sizes());
  TORCH_CHECK(longest >= 0, "longest: expected a number of rows, got ", longest);
  TORCH_CHECK(before >= -1 && after >= -1, "before and after: expected numbers of rows, or -1 for all, got ", before,
              " and ", after);
  const int64_t rows = qkv.size(0), heads = qkv.size(2), size = qkv.size(3), segments = offsets.numel() - 1;
  const at::ScalarType wide = qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  check(gradient, qkv, "gradient", {rows, heads, size}, qkv.scalar_type());
  check(lse, qkv, "lse", {heads, rows}, wide);
  check(offsets, qkv, "offsets", {segments + 1}, at::kLong);
  const int64_t side = bias && bias->dim() == 3 ? std::max(longest, bias->size(1)) : longest;
  if (bias) check(*bias, qkv, "bias", {heads, side, side}, wide);
  const int64_t least = std::max<int64_t>(2 * longest - 1, 1);
  const int64_t span = relative && relative->dim() == 4 ? std::max(least, relative->size(2)) | 1 : least;
  if (relative) check(*relative, qkv, "relative", {2, heads, span, size}, qkv.scalar_type());
  const c10::cuda::CUDAGuard guard(qkv.device());
  const at::Tensor g = gradient.contiguous(), x = qkv.contiguous(), sums = lse.contiguous();
  const at::Tensor places = offsets.contiguous();
  const at::Tensor added = bias ? bias->contiguous() : at::Tensor();
  const at::Tensor distances = relative ? relative->contiguous() : at::Tensor();
  at::Tensor maps = at::empty({segments, longest, longest}, sums.options());
  const AttentionGradient problem{scalar_of(x, "qkv"),
                                  rows,
                                  heads,
                                  size,
                                  segments,
                                  longest,
                                  scale,
                                  positive,
                                  tf32,
                                  g.const_data_ptr(),
                                  x.const_data_ptr(),
                                  sums.const_data_ptr(),
                                  places.const_data_ptr<int64_t>(),
                                  maps.mutable_data_ptr(),
                                  bias ? added.const_data_ptr() : nullptr,
                                  side,
                                  relative ? distances.const_data_ptr() : nullptr,
                                  span,
                                  before < 0 ? longest : before,
                                  after < 0 ? longest : after};
  C10_CUDA_CHECK(attention_gradient_cuda(problem, c10::cuda::getCurrentCUDAStream()));
  return maps;
}

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("attention_gradient", &attention_gradient_on_cuda);
}

}  // namespace calig_fast
#endif
