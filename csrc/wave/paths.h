// A batch of path points through the blocks: each joins at its block in the forward pass, and leaves there backward.
#pragma once

#include <vector>

#include "block.h"

namespace calig_fast {

// Both ends of all paths, packed, in float32 at least; of every block, the projections of every one that is not pooled.
struct PathEnds {
  at::Tensor offsets;  // [B+1], the first token of each input
  std::vector<at::Tensor> low, high, qkv_low, qkv_high;
};

// The points, in order of their layers.
struct PathPoints {
  std::vector<int64_t> layers;
  at::Tensor inputs, nodes, ones;  // [n] int64, and twice float64
  Segments segments;
  // Of the points of each block by themselves, input after input: the first row of each with the bits of its node, and
  // with those of 1, [n, 2] int64, and the first of each input, [B+1] for each block with points.
  at::Tensor node_steps, one_steps, begin;

  // Points that have joined before block `layer`.
  int64_t before(int64_t layer) const;
  int64_t until(int64_t layer) const { return before(layer + 1); }
  // The part of `begin` of a block with points.
  at::Tensor begin_of(int64_t layer) const;
  // Rows of the first `count` points.
  int64_t rows(int64_t count) const;
};

// The state that a forward pass leaves for its backward pass: the saved tensors of each block from the first on.
struct WaveState : torch::CustomClassHolder {
  StackPtr stack;
  PathEnds ends;
  PathPoints points;
  std::vector<Saved> saved;
};

using WaveStatePtr = c10::intrusive_ptr<WaveState>;

// The last hidden rows of all points [rows, D], or their first rows [n, D]; `table` is path_batch.to_device's.
std::tuple<at::Tensor, at::Tensor, WaveStatePtr> wave_up(const StackPtr& stack, const at::Tensor& table,
                                                         at::IntArrayRef layers, at::IntArrayRef lengths,
                                                         const at::Tensor& offsets, at::TensorList low,
                                                         at::TensorList high, at::TensorList qkv_low,
                                                         at::TensorList qkv_high);

// phi of all points' rows, [rows], from the gradient of the last hidden rows; `free` lets go of each block's tensors.
at::Tensor wave_down(const WaveStatePtr& state, const at::Tensor& g, bool free);

}  // namespace calig_fast
