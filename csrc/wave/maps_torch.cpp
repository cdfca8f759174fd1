// Attention maps of a block, in the mean of its heads.
#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "whole.h"

namespace calig_fast {
namespace {

// mean_h A of the rows from `first` on, [T, T].
at::Tensor attention_map(const Block& block, const Attended& attended, int64_t first, int64_t tokens) {
  const at::Tensor qk = attended.qkv.narrow(0, first, tokens).narrow(1, 0, 2).to(attended.lse.scalar_type());
  const at::Tensor q = qk.select(1, 0).transpose(0, 1), k = qk.select(1, 1).transpose(0, 1);
  const at::Tensor logits = at::matmul(q * block.scale, k.mT());
  return (logits - attended.lse.narrow(1, first, tokens).unsqueeze(2)).exp().mean(0);
}

// One segment's map of gradients [T, T]: its first row, zeros elsewhere.
at::Tensor first_row_map(const Block& block, const Saved& saved, int64_t segment, const at::Tensor& dmixed,
                         bool positive) {
  const at::Tensor wv = head_weight(block, 2), mine = dmixed.select(0, segment).view({wv.size(0), wv.size(1)});
  auto run = saved.runs.begin();
  for (; segment >= run->rows.size(0); ++run) segment -= run->rows.size(0);
  const int64_t tokens = run->rows.size(1);
  at::Tensor dp = at::matmul(at::einsum("hd,hdw->hw", {mine, wv}), run->rows.select(0, segment).t());
  if (const Optional bias = head_bias(block, 2)) dp = dp + (mine * *bias).sum(1, true);
  const at::Tensor product = run->p.select(0, segment) * dp;
  const at::Tensor out = at::zeros({tokens, tokens}, dp.options());
  out.select(0, 0).copy_((positive ? product.clamp_min(0) : product).mean(0));
  return out;
}

}  // namespace

at::Tensor block_maps(const Stack& stack, int64_t layer, const Saved& saved, const Backward& back, const Places& places,
                      c10::string_view kind) {
  const Block& block = stack.blocks[layer];
  const int64_t batch = static_cast<int64_t>(places.lengths.size()), side = places.tokens;
  const at::ScalarType wide = at::promote_types(back.dmixed.scalar_type(), at::kFloat);
  const bool pooled = stack.is_pooled(layer), whole = std::all_of(places.lengths.begin(), places.lengths.end(),
                                                                  [side](int64_t tokens) { return tokens == side; });
  if (!pooled && whole && kind != "attention") return back.maps.to(wide);
  const at::Tensor out = at::zeros({batch, side, side}, back.dmixed.options().dtype(wide));
  int64_t first = 0;
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t tokens = places.lengths[b];
    const at::Tensor mine = pooled ? first_row_map(block, saved, b, back.dmixed, kind == "positive_gradient")
                            : kind == "attention" ? attention_map(block, saved.attended, first, tokens)
                                                  : back.maps.select(0, b).narrow(0, 0, tokens).narrow(1, 0, tokens);
    const at::Tensor real = places.positions.narrow(0, first, tokens) - b * side;
    out.select(0, b).index_put_({real.unsqueeze(1), real}, mine.to(wide));
    first += tokens;
  }
  return out;
}

}  // namespace calig_fast
