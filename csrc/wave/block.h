// A transformer block over packed rows, and its vector-Jacobian product with respect to the input alone.
#pragma once

#include <string>
#include <vector>

#include "stack.h"

namespace calig_fast {

// Row ranges of segments that follow one another.
struct Segments {
  at::Tensor offsets;            // [S+1] int64, on the device of the rows
  std::vector<int64_t> lengths;  // the same on the host
  int64_t longest = 0, rows = 0;

  Segments() = default;
  Segments(at::Tensor offsets, std::vector<int64_t> lengths);

  int64_t count() const { return static_cast<int64_t>(lengths.size()); }
  Segments until(int64_t count) const;
};

// The saved tensors of a norm.
struct Parts {
  at::Tensor x, mean, deviation;
};

// The saved tensors of an attention.
struct Attended {
  at::Tensor qkv, out, lse;  // [R, 3, H, E], [R, H, E], [H, R]
  Segments segments;
};

// The saved tensors of the attention of first rows: of segments of one length side by side.
struct FirstRun {
  at::Tensor rows, absorbed, p;  // [n, T, D], [n, H, D], [n, H, T]
};

struct Saved {
  Attended attended;
  at::Tensor firsts;  // [S], of a pooled block
  std::vector<FirstRun> runs;
  Parts first, second;
  at::Tensor inner;
};

struct Forward {
  at::Tensor out;
  Saved saved;
};

struct Projected {
  at::Tensor qkv;
  Parts normed;  // of norm 1, where it comes before
};

// The gradients of the residual [R, D] and of the attention's rows [R, E].
struct ToAttention {
  at::Tensor residual, dmixed;
};

// The maps that the attention's gradient is asked for: how many segments, from the first, and which kind.
struct MapRequest {
  int64_t count = 0;
  bool positive = false;
};

// The gradients of a block's input and of the attention's rows, and the maps [M, T, T].
struct Backward {
  at::Tensor input, dmixed, maps;
};

at::Tensor affine(const Stack& stack, const Affine& layer, const at::Tensor& x, const Optional& residual);
// It may be written into `residual`.
at::Tensor linear_backward(const Stack& stack, const Affine& layer, const at::Tensor& g, const Optional& residual);
Parts normalised(const Norm& norm, const at::Tensor& x, at::Tensor& out);
// The norm of x + W rows + b.
Parts normalised_sum(const Stack& stack, const Norm& norm, const Affine& layer, const at::Tensor& rows,
                     const at::Tensor& x, at::Tensor& out);
at::Tensor norm_vjp(const Norm& norm, const at::Tensor& g, const Parts& saved, const Optional& residual);

Projected project(const Stack& stack, const Block& block, const at::Tensor& x);
Forward forward(const Stack& stack, const Block& block, const at::Tensor& x, Projected projected,
                const Segments& segments);
// The part of a block after the attention; `saved` has the attention's tensors.
Forward finish(const Stack& stack, const Block& block, const at::Tensor& mixed, const at::Tensor& x, Parts normed,
               Saved saved);
// The gradient from the output to the attention.
ToAttention vjp(const Stack& stack, const Block& block, const at::Tensor& g, const Saved& saved);
// The gradients of q, k and v side by side [R, 3E], and the maps.
std::tuple<at::Tensor, at::Tensor> attention_vjp(const Stack& stack, const Block& block, const at::Tensor& g,
                                                 const Attended& attended, MapRequest maps);
at::Tensor input_grad(const Stack& stack, const Block& block, const at::Tensor& residual, const at::Tensor& dqkv,
                      const Saved& saved);

// The last block where the head reads the first row of each segment alone.
Forward first_rows_forward(const Stack& stack, const Block& block, const at::Tensor& x, const Segments& segments);
Backward first_rows_vjp(const Stack& stack, const Block& block, const at::Tensor& g, const Saved& saved);

// The whole backward pass of block `layer`, pooled or not.
Backward back(const Stack& stack, int64_t layer, const at::Tensor& g, const Saved& saved, MapRequest maps);

// Wq, Wk and Wv (0, 1, 2) by head [H, E/H, D], and their biases [H, E/H].
at::Tensor head_weight(const Block& block, int64_t which);
Optional head_bias(const Block& block, int64_t which);

}  // namespace calig_fast
