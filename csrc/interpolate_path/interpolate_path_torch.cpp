#include <ATen/Parallel.h>
#include <ATen/ops/diff.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>

#include "../common/segments.h"
#include "../common/tensors.h"
#include "interpolate_path.h"

#if defined(CALIG_WITH_CUDA)
#include <c10/cuda/CUDAGuard.h>

#include "../common/path_steps_torch.h"
#include "interpolate_path_cuda.h"
#endif

namespace calig_fast {
namespace {

void check_ends(const at::Tensor& start, const at::Tensor& end) {
  TORCH_CHECK(start.dim() == 2 && start.sizes() == end.sizes() && start.scalar_type() == end.scalar_type(),
              "start and end: expected two [tokens, D] tensors of one dtype, got ", start.sizes(), " ",
              start.scalar_type(), " and ", end.sizes(), " ", end.scalar_type());
  TORCH_CHECK(end.device() == start.device(), "end: expected it on ", start.device(), ", got ", end.device());
}

using Optional = std::optional<at::Tensor>;

// The rows before the points; none of the ends' type where there are none.
at::Tensor first_of(const at::Tensor& start, const Optional& before) {
  if (!before) return at::empty({0, start.size(1)}, start.options());
  const at::ScalarType type = before->scalar_type();
  const bool narrower = start.scalar_type() == at::kFloat && (type == at::kHalf || type == at::kBFloat16);
  TORCH_CHECK(before->dim() == 2 && before->size(1) == start.size(1) && (type == start.scalar_type() || narrower) &&
                  before->device() == start.device(),
              "before: expected [Q, ", start.size(1), "] ", start.scalar_type(), " (of float32 also 16 bits) on ",
              start.device(), ", got ", before->sizes(), " ", type, " on ", before->device());
  return before->contiguous();
}

at::Tensor interpolate_path_on_cpu(const at::Tensor& start, const at::Tensor& end, const at::Tensor& offsets,
                                   const at::Tensor& inputs, const at::Tensor& nodes, std::optional<int64_t> rows,
                                   const Optional& before, const Optional&, const Optional&) {
  check_ends(start, end);
  const auto offset = checked_offsets(offsets, start.size(0));
  const int64_t count = static_cast<int64_t>(offset.size()) - 1, tokens = start.size(0), width = start.size(1);
  const auto input = checked_inputs(inputs, count);
  const auto node = doubles(nodes, "nodes", static_cast<int64_t>(input.size()));
  const auto first = first_rows(offset, input);
  const auto grouped = segments_of_input(input, count);
  TORCH_CHECK(!rows || *rows == first.back(), "rows: expected ", first.back(), ", those of all inputs, got ", *rows);

  const at::Tensor from = start.contiguous(), to = end.contiguous(), ahead = first_of(start, before);
  at::Tensor joined = at::empty({ahead.size(0) + first.back(), width}, ahead.options());
  joined.narrow(0, 0, ahead.size(0)).copy_(ahead);
  const at::Tensor points = joined.narrow(0, ahead.size(0), first.back());
  const InterpolatePath problem{scalar_of(start, "start"),
                                scalar_of(points, "before"),
                                from.const_data_ptr(),
                                to.const_data_ptr(),
                                points.mutable_data_ptr(),
                                width,
                                offset.data(),
                                grouped.begin.data(),
                                grouped.list.data(),
                                first.data(),
                                node.data()};
  const auto body = CALIG_PICK(interpolate_tokens);
  const int64_t work = tokens ? first.back() / tokens * width + 1 : 1;
  at::parallel_for(0, tokens, 32768 / work + 1, [&](int64_t begin, int64_t stop) { body(problem, begin, stop); });
  return joined;
}

#if defined(CALIG_WITH_CUDA)
at::Tensor interpolate_path_on_cuda(const at::Tensor& start, const at::Tensor& end, const at::Tensor& offsets,
                                    const at::Tensor& inputs, const at::Tensor& nodes, std::optional<int64_t> told,
                                    const Optional& before, const Optional& plan, const Optional& begin) {
  const c10::cuda::CUDAGuard guard(start.device());
  check_ends(start, end);
  const StepsOnDevice steps = steps_on_device(offsets, inputs, nodes, "nodes", start, plan, begin);
  // the number of rows has to be known here: who does not tell it waits for the device
  const int64_t rows = told ? *told : at::diff(steps.offsets).index_select(0, steps.inputs).sum().item<int64_t>();
  const at::Tensor from = start.contiguous(), to = end.contiguous(), ahead = first_of(start, before);
  at::Tensor points = at::empty({ahead.size(0) + rows, start.size(1)}, ahead.options());
  const InterpolatePathCuda problem{scalar_of(start, "start"),
                                    scalar_of(points, "before"),
                                    from.const_data_ptr(),
                                    to.const_data_ptr(),
                                    ahead.const_data_ptr(),
                                    points.mutable_data_ptr(),
                                    start.size(0),
                                    start.size(1),
                                    steps.count(),
                                    ahead.size(0),
                                    steps.offsets.const_data_ptr<int64_t>(),
                                    steps.begin.const_data_ptr<int64_t>(),
                                    steps.data()};
  C10_CUDA_CHECK(interpolate_path_cuda(problem, c10::cuda::getCurrentCUDAStream()));
  return points;
}
#endif

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("interpolate_path", &interpolate_path_on_cpu);
}

#if defined(CALIG_WITH_CUDA)
TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("interpolate_path", &interpolate_path_on_cuda);
}
#endif

}  // namespace calig_fast
