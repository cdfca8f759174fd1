#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/threshold_backward.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "block.h"

namespace calig_fast {
namespace {

at::Tensor activated(const Block& block, const at::Tensor& u) {
  if (block.activation == "gelu") return at::gelu(u);
  if (block.activation == "gelu_tanh") return at::gelu(u, "tanh");
  if (block.activation == "quick_gelu") return u * at::sigmoid(u * 1.702);
  if (block.activation == "relu_squared") return at::relu(u).square();
  return block.activation == "relu" ? at::relu(u) : at::silu(u);
}

// A gated activation multiplies the activated first half by the second.
at::Tensor activate(const Block& block, const at::Tensor& inner) {
  if (!block.gated) return activated(block, inner);
  const std::vector<at::Tensor> halves = inner.chunk(2, -1);
  return activated(block, halves[0]) * halves[1];
}

// The gradient of the rows that W1 was applied to, from the gradient of W2 f(u), the residual added.
at::Tensor mlp_vjp(const Stack& stack, const Block& block, const at::Tensor& g, const at::Tensor& inner,
                   const Optional& residual) {
  at::Tensor du = linear_backward(stack, block.down, g, std::nullopt);
  du = block.torch_backward ? at::threshold_backward(du, inner, 0)
                            : operations::activation_backward(du, inner, block.activation, block.gated);
  return linear_backward(stack, block.up, du, residual);
}

// x + scale (W rows + b).
at::Tensor onto(const Stack& stack, const at::Tensor& x, const Affine& layer, const at::Tensor& rows,
                const Optional& scale) {
  if (!scale) return affine(stack, layer, rows, x);
  return at::addcmul(x, affine(stack, layer, rows, std::nullopt), *scale);
}

}  // namespace

Segments::Segments(at::Tensor places, std::vector<int64_t> each)
    : offsets(std::move(places)), lengths(std::move(each)) {
  rows = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
}

Segments Segments::until(int64_t count) const {
  if (count == this->count()) return *this;
  return {offsets.narrow(0, 0, count + 1), std::vector<int64_t>(lengths.begin(), lengths.begin() + count)};
}

Projected project(const Stack& stack, const Block& block, const at::Tensor& x) {
  if (!block.pre_norm) return {affine(stack, block.qkv, x, std::nullopt), {}};
  at::Tensor source;
  Parts normed = normalised(block.norm1, x, source);
  return {affine(stack, block.qkv, source, std::nullopt), std::move(normed)};
}

Forward forward(const Stack& stack, const Block& block, const at::Tensor& x, Projected projected,
                const Segments& segments) {
  const int64_t rows = projected.qkv.size(0), width = projected.qkv.size(1) / 3;
  Saved saved;
  Attended& attended = saved.attended;
  attended.segments = segments;
  attended.qkv = projected.qkv.view({rows, 3, block.heads, width / block.heads});
  std::tie(attended.out, attended.lse) = operations::attention_forward(attended.qkv, segments.offsets, segments.longest,
                                                                       block.scale, std::nullopt, std::nullopt);
  const at::Tensor mixed = attended.out.flatten(1);
  return finish(stack, block, mixed, x, std::move(projected.normed), std::move(saved));
}

Forward finish(const Stack& stack, const Block& block, const at::Tensor& mixed, const at::Tensor& x, Parts normed,
               Saved saved) {
  at::Tensor h, out;
  if (!block.pre_norm) {
    saved.first = normalised_sum(stack, block.norm1, block.out, mixed, x, h);
    saved.inner = affine(stack, block.up, h, std::nullopt);
    saved.second = normalised_sum(stack, block.norm2, block.down, activate(block, saved.inner), h, out);
    return {out, std::move(saved)};
  }
  saved.first = std::move(normed);
  saved.second = block.scale1 ? normalised(block.norm2, onto(stack, x, block.out, mixed, block.scale1), h)
                              : normalised_sum(stack, block.norm2, block.out, mixed, x, h);
  saved.inner = affine(stack, block.up, h, std::nullopt);
  out = onto(stack, saved.second.x, block.down, activate(block, saved.inner), block.scale2);
  return {out, std::move(saved)};
}

ToAttention vjp(const Stack& stack, const Block& block, const at::Tensor& g, const Saved& saved) {
  if (!block.pre_norm) {
    const at::Tensor dz = norm_vjp(block.norm2, g, saved.second, std::nullopt);
    const at::Tensor dh = mlp_vjp(stack, block, dz, saved.inner, dz);
    const at::Tensor dy = norm_vjp(block.norm1, dh, saved.first, std::nullopt);
    return {dy, linear_backward(stack, block.out, dy, std::nullopt)};
  }
  const at::Tensor dh = mlp_vjp(stack, block, block.scale2 ? g * *block.scale2 : g, saved.inner, std::nullopt);
  const at::Tensor dy = norm_vjp(block.norm2, dh, saved.second, g);
  return {dy, linear_backward(stack, block.out, block.scale1 ? dy * *block.scale1 : dy, std::nullopt)};
}

std::tuple<at::Tensor, at::Tensor> attention_vjp(const Stack& stack, const Block& block, const at::Tensor& g,
                                                 const Attended& attended, MapRequest maps) {
  const Segments& segments = attended.segments;
  const at::Tensor gradient = g.view(attended.out.sizes());
  const bool apart = maps.count > 0 && stack.maps_apart;
  auto [dqkv, found] = operations::attention_backward(
      gradient, attended.qkv, attended.out, attended.lse, segments.offsets, segments.longest, block.scale,
      apart ? 0 : maps.count, maps.positive, std::nullopt, std::nullopt);
  if (apart) {
    const Segments first = segments.until(maps.count);
    found = operations::attention_gradient(gradient.narrow(0, 0, first.rows), attended.qkv.narrow(0, 0, first.rows),
                                           attended.lse.narrow(1, 0, first.rows), first.offsets, segments.longest,
                                           block.scale, maps.positive, std::nullopt, std::nullopt);
  }
  return {dqkv.flatten(1), found};
}

at::Tensor input_grad(const Stack& stack, const Block& block, const at::Tensor& residual, const at::Tensor& dqkv,
                      const Saved& saved) {
  if (!block.pre_norm) return linear_backward(stack, block.qkv, dqkv, residual);
  return norm_vjp(block.norm1, linear_backward(stack, block.qkv, dqkv, std::nullopt), saved.first, residual);
}

Backward back(const Stack& stack, int64_t layer, const at::Tensor& g, const Saved& saved, MapRequest maps) {
  const Block& block = stack.blocks[layer];
  if (stack.is_pooled(layer)) return first_rows_vjp(stack, block, g, saved);
  const ToAttention to = vjp(stack, block, g, saved);
  const auto [dqkv, found] = attention_vjp(stack, block, to.dmixed, saved.attended, maps);
  return {input_grad(stack, block, to.residual, dqkv, saved), to.dmixed, found};
}

}  // namespace calig_fast
