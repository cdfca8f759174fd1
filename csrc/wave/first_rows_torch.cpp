// One query a segment: the query and the mixture go through the projections, as first_token_block.py derives.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include <utility>

#include "block.h"

namespace calig_fast {
namespace {

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace

at::Tensor head_weight(const Block& block, int64_t which) {
  const at::Tensor& weight = block.qkv.weight;
  const int64_t heads = block.heads, size = weight.size(0) / (3 * heads);
  return weight.view({3, heads, size, weight.size(1)}).select(0, which);
}

Optional head_bias(const Block& block, int64_t which) {
  if (!block.qkv.bias) return std::nullopt;
  const at::Tensor& bias = *block.qkv.bias;
  return bias.view({3, block.heads, bias.size(0) / (3 * block.heads)}).select(0, which);
}

Forward first_rows_forward(const Stack& stack, const Block& block, const at::Tensor& x, const Segments& segments) {
  Parts normed;
  at::Tensor source = x;
  if (block.pre_norm) normed = normalised(block.norm1, x, source);
  Saved saved;
  saved.firsts = segments.offsets.narrow(0, 0, segments.count());
  const at::Tensor wq = head_weight(block, 0), wk = head_weight(block, 1), wv = head_weight(block, 2);
  const Optional bq = head_bias(block, 0), bv = head_bias(block, 2);
  at::Tensor q = at::linear(source.index_select(0, saved.firsts), wq.flatten(0, 1), bq ? Optional(bq->flatten()) : bq);
  q = q.view({segments.count(), wq.size(0), wq.size(1)}) * block.scale;
  const at::Tensor absorbed = at::einsum("shd,hdw->shw", {q, wk});
  std::vector<at::Tensor> mixed;
  int64_t row = 0;
  for (int64_t done = 0; done < segments.count();) {
    const int64_t tokens = segments.lengths[done];
    int64_t stop = done;
    while (stop < segments.count() && segments.lengths[stop] == tokens) ++stop;
    const int64_t count = stop - done;
    const at::Tensor rows = source.narrow(0, row, count * tokens).view({count, tokens, source.size(1)});
    const at::Tensor mine = absorbed.narrow(0, done, count);
    const at::Tensor p = at::softmax(at::matmul(mine, rows.transpose(1, 2)), -1);
    saved.runs.push_back({rows, mine, p});
    mixed.push_back(at::matmul(p, rows));
    done = stop;
    row += count * tokens;
  }
  at::Tensor out = at::einsum("shw,hdw->shd", {joined(mixed), wv});
  out = (bv ? out + *bv : out).flatten(1);
  const at::Tensor residual = x.index_select(0, saved.firsts);
  return finish(stack, block, out, residual, std::move(normed), std::move(saved));
}

Backward first_rows_vjp(const Stack& stack, const Block& block, const at::Tensor& g, const Saved& saved) {
  const auto [residual, dmixed] = vjp(stack, block, g, saved);
  const at::Tensor wq = head_weight(block, 0), wk = head_weight(block, 1), wv = head_weight(block, 2);
  const at::Tensor through_v = at::einsum("shd,hdw->shw", {dmixed.view({dmixed.size(0), wv.size(0), wv.size(1)}), wv});
  std::vector<at::Tensor> found, queries;
  int64_t done = 0;
  for (const FirstRun& run : saved.runs) {
    const at::Tensor dm = through_v.narrow(0, done, run.rows.size(0));
    done += run.rows.size(0);
    const at::Tensor dp = at::matmul(dm, run.rows.transpose(1, 2));
    const at::Tensor ds = at::_softmax_backward_data(dp, run.p, -1, run.p.scalar_type());
    at::Tensor values = at::matmul(run.p.transpose(1, 2), dm);
    found.push_back(values.baddbmm_(ds.transpose(1, 2), run.absorbed).flatten(0, 1));
    queries.push_back(at::matmul(ds, run.rows));
  }
  const at::Tensor dq = at::einsum("shw,hdw->shd", {joined(queries), wk}).flatten(1), into = wq.flatten(0, 1);
  at::Tensor out = joined(found);
  if (!block.pre_norm) {
    const at::Tensor first = residual.addmm_(dq, into, 1, block.scale);
    return {out.index_add_(0, saved.firsts, first), dmixed, {}};
  }
  out.index_add_(0, saved.firsts, at::matmul(dq, into), block.scale);
  out = norm_vjp(block.norm1, out, saved.first, std::nullopt);
  return {out.index_add_(0, saved.firsts, residual), dmixed, {}};
}

}  // namespace calig_fast
