#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "../common/segments.h"
#include "../common/tensors.h"
#include "accumulate_gradients.h"

namespace calig_fast {
namespace {

void check_pair(const at::Tensor& gradient, const at::Tensor& direction, const at::Tensor& first, int64_t rows,
                int64_t tokens) {
  TORCH_CHECK(gradient.dim() == 2 && direction.dim() == 2 && gradient.size(0) == rows && direction.size(0) == tokens &&
                  gradient.size(1) == direction.size(1),
              "gradients and directions: expected [", rows, ", D_k] with [", tokens, ", D_k], got ", gradient.sizes(),
              " with ", direction.sizes());
  TORCH_CHECK(gradient.scalar_type() == first.scalar_type() && direction.scalar_type() == first.scalar_type(),
              "gradients and directions: expected one dtype, ", first.scalar_type());
  TORCH_CHECK(gradient.device().is_cpu() && direction.device().is_cpu(),
              "gradients and directions: expected them on the CPU");
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> accumulate_gradients_cpu(at::TensorList gradients,
                                                                        at::TensorList directions,
                                                                        const at::Tensor& offsets,
                                                                        const at::Tensor& inputs,
                                                                        const at::Tensor& weights, bool with_lig) {
  TORCH_CHECK(gradients.size() == directions.size() && !gradients.empty() && gradients.size() <= kMaxPairs,
              "gradients and directions: expected one or two of each, got ", gradients.size(), " and ",
              directions.size());
  TORCH_CHECK(!with_lig || gradients.size() == 1, "with_lig: takes one pair of gradients and directions, got two");
  TORCH_CHECK(directions[0].dim() == 2, "directions: expected [tokens, D_k], got ", directions[0].sizes());
  const int64_t tokens = directions[0].size(0);
  const auto offset = checked_offsets(offsets, tokens);
  const int64_t count = static_cast<int64_t>(offset.size()) - 1;
  const auto input = checked_inputs(inputs, count);
  const auto weight = doubles(weights, "weights", static_cast<int64_t>(input.size()));
  const auto first = first_rows(offset, input);
  const auto grouped = segments_of_input(input, count);

  AccumulateGradients problem{};
  problem.scalar = scalar_of(gradients[0], "gradients");
  problem.pairs = static_cast<int>(gradients.size());
  std::vector<at::Tensor> kept;
  int64_t widths = 0;
  for (int k = 0; k < problem.pairs; ++k) {
    check_pair(gradients[k], directions[k], gradients[0], first.back(), tokens);
    kept.push_back(gradients[k].contiguous());
    problem.gradients[k] = kept.back().const_data_ptr();
    kept.push_back(directions[k].contiguous());
    problem.directions[k] = kept.back().const_data_ptr();
    problem.width[k] = gradients[k].size(1);
    widths += problem.width[k];
  }
  const auto options = gradients[0].options().dtype(problem.scalar == Scalar::f64 ? at::kDouble : at::kFloat);
  at::Tensor phi = at::empty({first.back()}, options), r = at::empty({tokens}, options);
  at::Tensor lig = at::empty({with_lig ? tokens : 0, problem.width[0]}, options);
  problem.inputs = count;
  problem.offsets = offset.data();
  problem.segments_begin = grouped.begin.data();
  problem.segments = grouped.list.data();
  problem.first_row = first.data();
  problem.weights = weight.data();
  problem.phi = phi.mutable_data_ptr();
  problem.r = r.mutable_data_ptr();
  problem.lig = with_lig ? lig.mutable_data_ptr() : nullptr;

  const auto body = CALIG_PICK(accumulate_tokens);
  const int64_t work = tokens ? first.back() / tokens * widths + 1 : 1;
  const int64_t grain = 32768 / work + 1;
  at::parallel_for(0, tokens, grain, [&](int64_t begin, int64_t stop) { body(problem, begin, stop); });
  return {phi, r, lig};
}

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("accumulate_gradients", &accumulate_gradients_cpu);
}

}  // namespace calig_fast
