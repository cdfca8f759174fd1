#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "../common/segments.h"
#include "../common/tensors.h"
#include "accumulate_gradients.h"

#if defined(CALIG_WITH_CUDA)
#include <c10/cuda/CUDAGuard.h>

#include "../common/path_steps_torch.h"
#include "accumulate_gradients_cuda.h"
#endif

namespace calig_fast {
namespace {

void check_pair(const at::Tensor& gradient, const at::Tensor& direction, const at::Tensor& first, at::ScalarType along,
                int64_t rows, int64_t tokens) {
  TORCH_CHECK(gradient.dim() == 2 && direction.dim() == 2 && gradient.size(0) == rows && direction.size(0) == tokens &&
                  gradient.size(1) == direction.size(1),
              "gradients and directions: expected [", rows, ", D_k] with [", tokens, ", D_k], got ", gradient.sizes(),
              " with ", direction.sizes());
  TORCH_CHECK(gradient.scalar_type() == first.scalar_type() && direction.scalar_type() == along,
              "gradients and directions: expected ", first.scalar_type(), " and ", along);
  TORCH_CHECK(gradient.device() == first.device() && direction.device() == first.device(),
              "gradients and directions: expected them on ", first.device());
}

using Starts = std::optional<at::TensorList>;

void check_starts(at::TensorList directions, at::TensorList starts) {
  TORCH_CHECK(starts.size() == directions.size(), "starts: expected None or as many as the ", directions.size(),
              " directions, got ", starts.size());
  for (size_t k = 0; k < starts.size(); ++k)
    TORCH_CHECK(starts[k].sizes() == directions[k].sizes() && starts[k].scalar_type() == directions[k].scalar_type() &&
                    starts[k].device() == directions[k].device(),
                "starts: expected shapes, dtype and device of the directions, got ", starts[k].sizes(), " ",
                starts[k].scalar_type(), " on ", starts[k].device());
}

void check_lists(at::TensorList gradients, at::TensorList directions, const Starts& starts, bool with_lig) {
  TORCH_CHECK(gradients.size() == directions.size() && !gradients.empty() && gradients.size() <= kMaxPairs,
              "gradients and directions: expected one or two of each, got ", gradients.size(), " and ",
              directions.size());
  TORCH_CHECK(!with_lig || gradients.size() == 1, "with_lig: takes one pair of gradients and directions, got two");
  TORCH_CHECK(gradients[0].dim() == 2 && directions[0].dim() == 2,
              "gradients and directions: expected [rows, D_k] with [tokens, D_k], got ", gradients[0].sizes(), " with ",
              directions[0].sizes());
  const at::ScalarType scalar = gradients[0].scalar_type(), along = directions[0].scalar_type();
  const bool wider = along == at::kFloat && (scalar == at::kHalf || scalar == at::kBFloat16);
  TORCH_CHECK(along == scalar || wider, "directions: expected the gradients' dtype, ", scalar,
              ", of 16 bits also float32, got ", along);
  if (starts) check_starts(directions, *starts);
}

// Of either device's problem what they have in common, and the tensors that it points into.
template <typename Problem>
struct Prepared {
  Problem problem{};
  std::vector<at::Tensor> kept;
  int64_t widths = 0;
  at::Tensor phi, r, lig;
};

template <typename Problem>
Prepared<Problem> prepared(at::TensorList gradients, at::TensorList directions, int64_t rows, bool with_lig) {
  Prepared<Problem> out;
  Problem& problem = out.problem;
  const int64_t tokens = directions[0].size(0);
  problem.scalar = scalar_of(gradients[0], "gradients");
  problem.pairs = static_cast<int>(gradients.size());
  for (int k = 0; k < problem.pairs; ++k) {
    check_pair(gradients[k], directions[k], gradients[0], directions[0].scalar_type(), rows, tokens);
    out.kept.push_back(gradients[k].contiguous());
    problem.gradients[k] = out.kept.back().const_data_ptr();
    out.kept.push_back(directions[k].contiguous());
    problem.directions[k] = out.kept.back().const_data_ptr();
    problem.width[k] = gradients[k].size(1);
    out.widths += problem.width[k];
  }
  const auto options = gradients[0].options().dtype(problem.scalar == Scalar::f64 ? at::kDouble : at::kFloat);
  out.phi = at::empty({rows}, options);
  out.r = at::empty({tokens}, options);
  out.lig = at::empty({with_lig ? tokens : 0, problem.width[0]}, options);
  problem.phi = out.phi.mutable_data_ptr();
  problem.r = out.r.mutable_data_ptr();
  problem.lig = with_lig ? out.lig.mutable_data_ptr() : nullptr;
  return out;
}

using Results = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Results accumulate_gradients_on_cpu(at::TensorList gradients, at::TensorList directions, const at::Tensor& offsets,
                                    const at::Tensor& inputs, const at::Tensor& weights, bool with_lig, Starts starts,
                                    const std::optional<at::Tensor>&, const std::optional<at::Tensor>&) {
  check_lists(gradients, directions, starts, with_lig);
  // the passes that are made here are launches on a GPU, whose kernels make none
  const at::ScalarType wide = at::promote_types(gradients[0].scalar_type(), at::kFloat);
  const bool mixed = gradients[0].scalar_type() != directions[0].scalar_type();
  std::vector<at::Tensor> widened, apart;
  for (size_t k = 0; (starts || mixed) && k < gradients.size(); ++k) {
    widened.push_back(gradients[k].to(wide));
    apart.push_back(starts ? directions[k].to(wide) - (*starts)[k].to(wide) : directions[k]);
  }
  if (starts || mixed) gradients = widened, directions = apart;
  const int64_t tokens = directions[0].size(0);
  const auto offset = checked_offsets(offsets, tokens);
  const int64_t count = static_cast<int64_t>(offset.size()) - 1;
  const auto input = checked_inputs(inputs, count);
  const auto weight = doubles(weights, "weights", static_cast<int64_t>(input.size()));
  const auto first = first_rows(offset, input);
  const auto grouped = segments_of_input(input, count);

  auto made = prepared<AccumulateGradients>(gradients, directions, first.back(), with_lig);
  AccumulateGradients& problem = made.problem;
  problem.inputs = count;
  problem.offsets = offset.data();
  problem.segments_begin = grouped.begin.data();
  problem.segments = grouped.list.data();
  problem.first_row = first.data();
  problem.weights = weight.data();

  const auto body = CALIG_PICK(accumulate_tokens);
  const int64_t work = tokens ? first.back() / tokens * made.widths + 1 : 1;
  const int64_t grain = 32768 / work + 1;
  at::parallel_for(0, tokens, grain, [&](int64_t begin, int64_t stop) { body(problem, begin, stop); });
  return {made.phi, made.r, made.lig};
}

#if defined(CALIG_WITH_CUDA)
Results accumulate_gradients_on_cuda(at::TensorList gradients, at::TensorList directions, const at::Tensor& offsets,
                                     const at::Tensor& inputs, const at::Tensor& weights, bool with_lig, Starts starts,
                                     const std::optional<at::Tensor>& plan, const std::optional<at::Tensor>& begin) {
  check_lists(gradients, directions, starts, with_lig);
  const c10::cuda::CUDAGuard guard(gradients[0].device());
  const StepsOnDevice steps = steps_on_device(offsets, inputs, weights, "weights", gradients[0], plan, begin);
  auto made = prepared<AccumulateGradientsCuda>(gradients, directions, gradients[0].size(0), with_lig);
  AccumulateGradientsCuda& problem = made.problem;
  problem.tokens = directions[0].size(0);
  problem.inputs = steps.count();
  problem.offsets = steps.offsets.const_data_ptr<int64_t>();
  problem.steps_begin = steps.begin.const_data_ptr<int64_t>();
  problem.steps = steps.data();
  problem.along = scalar_of(directions[0], "directions");
  for (size_t k = 0; starts && k < starts->size(); ++k) {
    made.kept.push_back((*starts)[k].contiguous());
    problem.starts[k] = made.kept.back().const_data_ptr();
  }
  C10_CUDA_CHECK(accumulate_gradients_cuda(problem, c10::cuda::getCurrentCUDAStream()));
  return {made.phi, made.r, made.lig};
}
#endif

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("accumulate_gradients", &accumulate_gradients_on_cpu);
}

#if defined(CALIG_WITH_CUDA)
TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("accumulate_gradients", &accumulate_gradients_on_cuda);
}
#endif

}  // namespace calig_fast
