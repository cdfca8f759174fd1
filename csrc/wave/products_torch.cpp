// Products of packed rows with a block's weights, and norms.
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/native_layer_norm.h>

#include "block.h"

namespace calig_fast {
namespace {

// Rows of a piece; engines/native/linear.py says why.
constexpr int64_t kTile = 4096;

void product_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  if (bias) {
    at::addmm_out(out, *bias, x, weight);
  } else {
    at::mm_out(out, x, weight);
  }
}

// x W + b, tile by tile, and the rest in powers of two.
at::Tensor in_tiles(const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  const int64_t rows = x.size(0);
  const at::Tensor out = at::empty({rows, weight.size(1)}, x.options());
  int64_t done = 0;
  const auto piece = [&](int64_t count) {
    if (count == 0) return;
    product_into(out.narrow(0, done, count), x.narrow(0, done, count), weight, bias);
    done += count;
  };
  for (int64_t tile = 0; tile < rows / kTile; ++tile) piece(kTile);
  for (int64_t bit = 1; bit < kTile; bit *= 2) piece(rows % kTile & bit);
  return out;
}

at::Tensor with(at::Tensor found, const Optional& residual) {
  return residual ? found.add_(*residual) : found;
}

}  // namespace

at::Tensor affine(const Stack& stack, const Affine& layer, const at::Tensor& x, const Optional& residual) {
  if (stack.products == Products::ours) return operations::linear(x, layer.weight, layer.bias, residual, false);
  if (stack.products == Products::tiles) return with(in_tiles(x, layer.weight.t(), layer.bias), residual);
  return with(at::linear(x, layer.weight, layer.bias), residual);
}

at::Tensor linear_backward(const Stack& stack, const Affine& layer, const at::Tensor& g, const Optional& residual) {
  if (stack.products == Products::ours) return operations::linear(g, layer.weight, std::nullopt, residual, true);
  if (stack.products == Products::tiles) return with(in_tiles(g, layer.weight, std::nullopt), residual);
  return residual ? residual->addmm_(g, layer.weight) : at::matmul(g, layer.weight);
}

Parts normalised(const Norm& norm, const at::Tensor& x, at::Tensor& out) {
  Parts parts{x, {}, {}};
  std::tie(out, parts.mean, parts.deviation) = at::native_layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, norm.eps);
  return parts;
}

Parts normalised_sum(const Stack& stack, const Norm& norm, const Affine& layer, const at::Tensor& rows,
                     const at::Tensor& x, at::Tensor& out) {
  if (stack.products == Products::ours) return normalised(norm, affine(stack, layer, rows, x), out);
  Parts parts;
  std::tie(out, parts.x, parts.mean, parts.deviation) =
      operations::add_norm(affine(stack, layer, rows, std::nullopt), x, norm.weight, norm.bias, norm.eps);
  return parts;
}

at::Tensor norm_vjp(const Norm& norm, const at::Tensor& g, const Parts& saved, const Optional& residual) {
  return operations::norm_backward(g, saved.x, saved.mean, saved.deviation, norm.weight, residual);
}

}  // namespace calig_fast
