#include <ATen/DeviceGuard.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <utility>

#include "whole.h"

namespace calig_fast {
namespace {

// <slope, direction> of every row, float64.
at::Tensor along(const at::Tensor& slopes, const at::Tensor& directions) {
  return (slopes * directions).sum(-1, false, at::kDouble);
}

// The directional derivatives of one block's input after another, from the last block on.
struct Slopes {
  std::vector<at::Tensor> high, low, product;

  void add(const at::Tensor& g, const at::Tensor& low_end, const at::Tensor& high_end) {
    const int64_t tokens = high_end.size(0), rest = g.size(0) - tokens;
    const at::Tensor direction = high_end - low_end, mine = g.narrow(0, 0, tokens);
    high.push_back(along(mine, direction));
    if (rest > 0) low.push_back(along(g.narrow(0, tokens, rest), direction));
    product.push_back(along(mine, high_end));
  }

  static at::Tensor in_order(std::vector<at::Tensor> found) {
    std::reverse(found.begin(), found.end());
    return at::stack(found);
  }
};

}  // namespace

std::tuple<at::Tensor, std::vector<at::Tensor>, std::vector<at::Tensor>, WholeStatePtr> whole_up(
    const StackPtr& stack, const at::Tensor& first, const at::Tensor& offsets, at::IntArrayRef lengths) {
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  const c10::OptionalDeviceGuard guard(first.device());
  auto state = c10::make_intrusive<WholeState>();
  state->stack = stack;
  const Segments segments(offsets, lengths.vec());
  at::Tensor x = first;
  std::vector<at::Tensor> hidden, projections;
  for (int64_t layer = 0; layer < stack->depth(); ++layer) {
    const Block& block = stack->blocks[layer];
    hidden.push_back(x);
    Forward here;
    if (stack->is_pooled(layer)) {
      here = first_rows_forward(*stack, block, x, segments);
    } else {
      Projected projected = project(*stack, block, x);
      projections.push_back(projected.qkv);
      here = forward(*stack, block, x, std::move(projected), segments);
    }
    x = std::move(here.out);
    state->saved.push_back(std::move(here.saved));
  }
  return {x, std::move(hidden), std::move(projections), state};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, std::vector<at::Tensor>> whole_down(
    const WholeStatePtr& state, const at::Tensor& g, at::TensorList low, at::TensorList high,
    const at::Tensor& positions, at::IntArrayRef lengths, int64_t tokens, std::optional<c10::string_view> kind,
    bool free) {
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  const c10::OptionalDeviceGuard guard(g.device());
  const Stack& stack = *state->stack;
  const int64_t depth = stack.depth();
  TORCH_CHECK(static_cast<int64_t>(state->saved.size()) == depth,
              "state: its saved tensors were freed by an earlier backward pass");
  TORCH_CHECK(static_cast<int64_t>(low.size()) == depth && static_cast<int64_t>(high.size()) == depth,
              "low and high: expected the hidden states of ", depth, " blocks, got ", low.size(), " and ", high.size());
  const Places places{positions, lengths.vec(), tokens};
  MapRequest request;
  if (kind && *kind != "attention") request = {static_cast<int64_t>(lengths.size()), *kind == "positive_gradient"};
  Slopes slopes;
  std::vector<at::Tensor> maps;
  at::Tensor below = g;
  for (int64_t layer = depth - 1; layer >= 0; --layer) {
    const Saved saved = free ? std::move(state->saved.back()) : state->saved[layer];
    if (free) state->saved.pop_back();
    const Backward found = back(stack, layer, below, saved, request);
    if (kind) maps.push_back(block_maps(stack, layer, saved, found, places, *kind));
    below = found.input;
    slopes.add(below, low[layer], high[layer]);
  }
  std::reverse(maps.begin(), maps.end());
  const at::Tensor none = at::empty({depth, 0}, g.options().dtype(at::kDouble));
  return {Slopes::in_order(slopes.high), slopes.low.empty() ? none : Slopes::in_order(slopes.low),
          Slopes::in_order(slopes.product), std::move(maps)};
}

}  // namespace calig_fast
