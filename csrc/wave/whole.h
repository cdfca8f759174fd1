// Whole inputs through the blocks: what a batch of paths needs of its ends.
#pragma once

#include <optional>
#include <vector>

#include "block.h"

namespace calig_fast {

// The state that the forward pass leaves for its backward pass: the saved tensors of each block.
struct WholeState : torch::CustomClassHolder {
  StackPtr stack;
  std::vector<Saved> saved;
};

using WholeStatePtr = c10::intrusive_ptr<WholeState>;

// Where the rows of a batch lie in [B, T].
struct Places {
  at::Tensor positions;  // [tokens] int64
  std::vector<int64_t> lengths;
  int64_t tokens;  // T
};

// The output, the input of every block, and the first projection of every block that is not pooled.
std::tuple<at::Tensor, std::vector<at::Tensor>, std::vector<at::Tensor>, WholeStatePtr> whole_up(
    const StackPtr& stack, const at::Tensor& x, const at::Tensor& offsets, at::IntArrayRef lengths);

// From the gradient of the output, of the inputs and of their baselines where these went through too: <gradient,
// high - low> of each row of every block's input, the same of the baselines' rows ([L, 0] without them), <gradient,
// high>, all [L, tokens] float64; and a map [B, T, T] of every block, where `kind` is "attention", "gradient" or
// "positive_gradient".
std::tuple<at::Tensor, at::Tensor, at::Tensor, std::vector<at::Tensor>> whole_down(
    const WholeStatePtr& state, const at::Tensor& g, at::TensorList low, at::TensorList high,
    const at::Tensor& positions, at::IntArrayRef lengths, int64_t tokens, std::optional<c10::string_view> kind,
    bool free);

// The maps [B, T, T] of one block, zeros at padding; `back` is of its backward pass.
at::Tensor block_maps(const Stack& stack, int64_t layer, const Saved& saved, const Backward& back, const Places& places,
                      c10::string_view kind);

}  // namespace calig_fast
