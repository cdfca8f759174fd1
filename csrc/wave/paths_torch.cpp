#include <ATen/DeviceGuard.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "paths.h"

namespace calig_fast {
namespace {

void check_lists(const Stack& stack, const PathEnds& ends) {
  const size_t depth = stack.blocks.size(), projected = depth - (stack.first_only ? 1 : 0);
  TORCH_CHECK(ends.low.size() == depth && ends.high.size() == depth, "low and high: expected the hidden states of ",
              depth, " blocks, got ", ends.low.size(), " and ", ends.high.size());
  TORCH_CHECK(ends.qkv_low.size() == projected && ends.qkv_high.size() == projected,
              "qkv_low and qkv_high: expected the projections of ", projected, " blocks, got ", ends.qkv_low.size(),
              " and ", ends.qkv_high.size());
}

// The table of path_batch.to_device: inputs, nodes, ones, offsets, node_steps, one_steps and begin, one after another.
PathPoints points_of(const Stack& stack, const at::Tensor& table, at::IntArrayRef layers, at::IntArrayRef lengths,
                     int64_t inputs) {
  const int64_t count = static_cast<int64_t>(layers.size());
  TORCH_CHECK(count > 0 && lengths.size() == layers.size() && std::is_sorted(layers.begin(), layers.end()) &&
                  layers.front() >= 0 && layers.back() < stack.depth(),
              "layers and lengths: expected one of each a point, the layers in order, from 0 to ", stack.depth() - 1);
  int64_t blocks = 0;
  for (int64_t i = 0; i < count; ++i) blocks += i == 0 || layers[i] != layers[i - 1];
  const int64_t size = 8 * count + 2 + blocks * (inputs + 1);
  TORCH_CHECK(table.dim() == 1 && table.scalar_type() == at::kLong && table.numel() == size, "table: expected [", size,
              "] int64, got ", table.sizes(), " ", table.scalar_type());
  int64_t done = 0;
  const auto next = [&](int64_t numbers) {
    done += numbers;
    return table.narrow(0, done - numbers, numbers);
  };
  PathPoints points;
  points.layers = layers.vec();
  points.node_steps = next(2 * count).view({count, 2});
  points.one_steps = next(2 * count).view({count, 2});
  points.inputs = next(count);
  points.nodes = next(count).view(at::kDouble);
  points.ones = next(count).view(at::kDouble);
  points.segments = Segments(next(count + 1), lengths.vec());
  next(1);
  points.begin = next(blocks * (inputs + 1)).view({blocks, inputs + 1});
  return points;
}

// Points of block `layer` between two ends, after the rows that are there already.
at::Tensor path(const WaveState& state, int64_t layer, const at::Tensor& low, const at::Tensor& high,
                const at::Tensor& before) {
  const PathPoints& points = state.points;
  const int64_t first = points.before(layer), stop = points.until(layer);
  const auto options = low.options().dtype(state.stack->blocks[0].qkv.weight.scalar_type());
  return operations::interpolate_path(low, high, state.ends.offsets, points.inputs.narrow(0, first, stop - first),
                                      points.nodes.narrow(0, first, stop - first),
                                      points.rows(stop) - points.rows(first),
                                      before.defined() ? before : at::empty({0, low.size(1)}, options),
                                      points.node_steps.narrow(0, first, stop - first), points.begin_of(layer));
}

// The output of block `layer`: the rows of the block before, with the points that join here.
Forward forward_block(const WaveState& state, int64_t layer, const at::Tensor& x) {
  const Stack& stack = *state.stack;
  const Block& block = stack.blocks[layer];
  const PathEnds& ends = state.ends;
  const int64_t stop = state.points.until(layer);
  const bool joins = state.points.before(layer) < stop;
  const Segments segments = state.points.segments.until(stop);
  const at::Tensor rows = joins ? path(state, layer, ends.low[layer], ends.high[layer], x) : x;
  if (stack.is_pooled(layer)) return first_rows_forward(stack, block, rows, segments);
  if (block.pre_norm || !stack.linear || !joins)
    return forward(stack, block, rows, project(stack, block, rows), segments);
  const at::Tensor before = x.defined() ? project(stack, block, x).qkv : x;
  at::Tensor qkv = path(state, layer, ends.qkv_low[layer], ends.qkv_high[layer], before);
  return forward(stack, block, rows, {std::move(qkv), {}}, segments);
}

// phi of the rows of some points: gradients times the ways between two ends, summed over the width.
at::Tensor integrand(const WaveState& state, int64_t layer, const std::vector<at::Tensor>& gradients,
                     const std::vector<at::Tensor>& low, const std::vector<at::Tensor>& high) {
  const PathPoints& points = state.points;
  const int64_t first = points.before(layer), count = points.until(layer) - first;
  return std::get<0>(operations::accumulate_gradients(
      gradients, high, low, state.ends.offsets, points.inputs.narrow(0, first, count),
      points.ones.narrow(0, first, count), points.one_steps.narrow(0, first, count), points.begin_of(layer)));
}

// Through block `layer`: the gradient for those that go on; phi of the points that end here is added to `found`.
at::Tensor backward_block(const WaveState& state, int64_t layer, const at::Tensor& g, const Saved& saved,
                          std::vector<at::Tensor>& found) {
  const Stack& stack = *state.stack;
  const Block& block = stack.blocks[layer];
  const PathEnds& ends = state.ends;
  const int64_t first = state.points.before(layer), stop = state.points.until(layer);
  if (first == stop) return back(stack, layer, g, saved, {}).input;
  const int64_t split = state.points.rows(first), rest = state.points.rows(stop) - split;
  if (stack.is_pooled(layer) || block.pre_norm || !stack.linear) {
    const at::Tensor below = back(stack, layer, g, saved, {}).input;
    found.push_back(integrand(state, layer, {below.narrow(0, split, rest)}, {ends.low[layer]}, {ends.high[layer]}));
    return below.narrow(0, 0, split);
  }
  const ToAttention to = vjp(stack, block, g, saved);
  const at::Tensor dqkv = std::get<0>(attention_vjp(stack, block, to.dmixed, saved.attended, {}));
  at::Tensor below;
  if (split) below = input_grad(stack, block, to.residual.narrow(0, 0, split), dqkv.narrow(0, 0, split), saved);
  // the projection is not undone: <dqkv W, h - h'> = <dqkv, W (h - h')>, and W (h - h') is known
  found.push_back(integrand(state, layer, {to.residual.narrow(0, split, rest), dqkv.narrow(0, split, rest)},
                            {ends.low[layer], ends.qkv_low[layer]}, {ends.high[layer], ends.qkv_high[layer]}));
  return below;
}

}  // namespace

int64_t PathPoints::before(int64_t layer) const {
  return std::lower_bound(layers.begin(), layers.end(), layer) - layers.begin();
}

at::Tensor PathPoints::begin_of(int64_t layer) const {
  int64_t place = 0;
  for (size_t i = 1; i < layers.size() && layers[i] <= layer; ++i) place += layers[i] != layers[i - 1];
  return begin.select(0, place);
}

int64_t PathPoints::rows(int64_t count) const {
  return std::accumulate(segments.lengths.begin(), segments.lengths.begin() + count, int64_t{0});
}

std::tuple<at::Tensor, at::Tensor, WaveStatePtr> wave_up(const StackPtr& stack, const at::Tensor& table,
                                                         at::IntArrayRef layers, at::IntArrayRef lengths,
                                                         const at::Tensor& offsets, at::TensorList low,
                                                         at::TensorList high, at::TensorList qkv_low,
                                                         at::TensorList qkv_high) {
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  const c10::OptionalDeviceGuard guard(table.device());
  auto state = c10::make_intrusive<WaveState>();
  state->stack = stack;
  state->ends = {offsets, low.vec(), high.vec(), qkv_low.vec(), qkv_high.vec()};
  check_lists(*stack, state->ends);
  state->points = points_of(*stack, table, layers, lengths, offsets.numel() - 1);
  at::Tensor x;
  for (int64_t layer = layers.front(); layer < stack->depth(); ++layer) {
    Forward here = forward_block(*state, layer, x);
    x = std::move(here.out);
    state->saved.push_back(std::move(here.saved));
  }
  return {x, state->points.inputs, state};
}

at::Tensor wave_down(const WaveStatePtr& state, const at::Tensor& g, bool free) {
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  const c10::OptionalDeviceGuard guard(g.device());
  const int64_t first = state->points.layers.front(), depth = state->stack->depth();
  TORCH_CHECK(static_cast<int64_t>(state->saved.size()) == depth - first,
              "state: its saved tensors were freed by an earlier backward pass");
  std::vector<at::Tensor> found;
  at::Tensor below = g;
  for (int64_t layer = depth - 1; layer >= first; --layer) {
    if (free) {
      const Saved saved = std::move(state->saved.back());
      state->saved.pop_back();
      below = backward_block(*state, layer, below, saved, found);
    } else {
      below = backward_block(*state, layer, below, state->saved[layer - first], found);
    }
  }
  std::reverse(found.begin(), found.end());
  return at::cat(found);
}

}  // namespace calig_fast
