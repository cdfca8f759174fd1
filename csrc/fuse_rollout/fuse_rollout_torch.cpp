#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <string_view>
#include <tuple>

#include "../common/segments.h"
#include "../common/tensors.h"
#include "fuse_rollout.h"

#if defined(CALIG_WITH_CUDA)
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "fuse_rollout_cuda.h"
#endif

namespace calig_fast {
namespace {

RolloutScale parsed(c10::string_view scale, const char* name, bool with_max_t) {
  const std::string_view text(scale.data(), scale.size());
  if (text == "none") return RolloutScale::none;
  if (text == "sum") return RolloutScale::sum;
  if (text == "max") return RolloutScale::max;
  if (text == "max_t" && with_max_t) return RolloutScale::max_t;
  TORCH_CHECK(false, name, ": unknown scale '", std::string(text), "'");
}

// A zero denominator gives zeros.
double reciprocal(double denominator) {
  return denominator == 0 ? 0 : 1 / denominator;
}

// A run of at most kRolloutRows rows of one input; runs do not depend on the number of threads.
struct Run {
  int64_t input, begin, end;
};

template <typename T>
void fuse(const std::vector<int64_t>& offset, const T* relevance, const T* attention, const T* row, const T* identity,
          double lam, double residual, RolloutScale relevance_scale, RolloutScale attention_scale, bool normalise,
          Scalar scalar, T* row_out, T* identity_out) {
  const int64_t count = static_cast<int64_t>(offset.size()) - 1, total = offset.back();
  std::vector<int64_t> map(count + 1, 0);
  std::vector<Run> runs;
  std::vector<int64_t> first_run(count + 1, 0), first_partial;
  int64_t partials = 0, longest = 0;
  for (int64_t b = 0; b < count; ++b) {
    const int64_t tokens = offset[b + 1] - offset[b];
    map[b + 1] = map[b] + tokens * tokens;
    longest = std::max(longest, tokens);
    for (int64_t begin = 0; begin < tokens; begin += kRolloutRows) {
      runs.push_back({b, begin, std::min(begin + kRolloutRows, tokens)});
      first_partial.push_back(partials);
      partials += tokens;
    }
    first_run[b + 1] = static_cast<int64_t>(runs.size());
  }
  const int64_t all = static_cast<int64_t>(runs.size());
  const int64_t grain = 65536 / (kRolloutRows * (longest + 1)) + 1;
  const auto sum = CALIG_PICK(sum_abs);
  const auto max = CALIG_PICK(max_abs);

  std::vector<double> part(all, 0);
  if (lam != 1 && attention_scale != RolloutScale::none) {
    const auto reduce = attention_scale == RolloutScale::sum ? sum : max;
    at::parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Run& run = runs[i];
        const int64_t tokens = offset[run.input + 1] - offset[run.input];
        part[i] = reduce(scalar, attention + map[run.input] + run.begin * tokens, (run.end - run.begin) * tokens);
      }
    });
  }

  std::vector<T> base(total, 0);
  std::vector<FuseRollout> problems(count);
  for (int64_t b = 0; b < count; ++b) {
    const int64_t tokens = offset[b + 1] - offset[b], at = offset[b];
    if (lam != 0) {
      double denominator = 1;
      if (relevance_scale == RolloutScale::sum) denominator = sum(scalar, relevance + at, tokens);
      if (relevance_scale == RolloutScale::max) denominator = max(scalar, relevance + at, tokens);
      if (relevance_scale == RolloutScale::max_t) denominator = max(scalar, relevance + at, tokens) * tokens;
      const double scale = lam * reciprocal(denominator);
      if (scale != 0)
        for (int64_t u = 0; u < tokens; ++u) base[at + u] = static_cast<T>(scale * relevance[at + u]);
    }
    double denominator = attention_scale == RolloutScale::none ? 1 : 0;
    for (int64_t i = first_run[b]; i < first_run[b + 1]; ++i) {
      if (attention_scale == RolloutScale::sum) denominator += part[i];
      if (attention_scale == RolloutScale::max)
        denominator = part[i] > denominator || part[i] != part[i] ? part[i] : denominator;
    }
    problems[b] = {scalar,
                   tokens,
                   base.data() + at,
                   attention + map[b],
                   lam == 1 ? 0 : (1 - lam) * reciprocal(denominator),
                   row + at,
                   identity + at,
                   residual,
                   normalise,
                   identity_out + at};
  }

  std::vector<T> partial(partials);
  const auto body = CALIG_PICK(fuse_rows);
  at::parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      body(problems[runs[i].input], runs[i].begin, runs[i].end, partial.data() + first_partial[i]);
  });
  std::vector<double> column(longest);
  for (int64_t b = 0; b < count; ++b) {
    const int64_t tokens = offset[b + 1] - offset[b];
    std::fill(column.begin(), column.end(), 0);
    for (int64_t i = first_run[b]; i < first_run[b + 1]; ++i)
      for (int64_t u = 0; u < tokens; ++u) column[u] += static_cast<double>(partial[first_partial[i] + u]);
    for (int64_t u = 0; u < tokens; ++u) row_out[offset[b] + u] = static_cast<T>(column[u]);
  }
}

void check_vector(const at::Tensor& tensor, const at::Tensor& like, const char* name, int64_t size) {
  TORCH_CHECK(tensor.dim() == 1 && tensor.numel() == size && tensor.scalar_type() == like.scalar_type() &&
                  tensor.device() == like.device(),
              name, ": expected [", size, "] ", like.scalar_type(), " on ", like.device(), ", got ", tensor.sizes(),
              " ", tensor.scalar_type(), " on ", tensor.device());
}

// The arguments, checked, of either device.
struct Arguments {
  Scalar scalar;
  RolloutScale relevance_scale, attention_scale;
  at::Tensor relevance, attention, row, identity, row_out, identity_out;
};

Arguments checked(const at::Tensor& relevance, const at::Tensor& attention, const at::Tensor& row,
                  const at::Tensor& identity, c10::string_view relevance_scale, c10::string_view attention_scale) {
  TORCH_CHECK(relevance.dim() == 1, "relevance: expected [tokens], got ", relevance.sizes());
  check_vector(attention, relevance, "attention", attention.numel());
  check_vector(row, relevance, "row", relevance.numel());
  check_vector(identity, relevance, "identity", relevance.numel());
  const Scalar scalar = scalar_of(relevance, "relevance");
  TORCH_CHECK(scalar == Scalar::f32 || scalar == Scalar::f64, "relevance: expected float32 or float64, got ",
              relevance.scalar_type());
  return {scalar,
          parsed(relevance_scale, "relevance_scale", true),
          parsed(attention_scale, "attention_scale", false),
          relevance.contiguous(),
          attention.contiguous(),
          row.contiguous(),
          identity.contiguous(),
          at::empty(relevance.sizes(), relevance.options()),
          at::empty(relevance.sizes(), relevance.options())};
}

using Results = std::tuple<at::Tensor, at::Tensor>;

Results fuse_rollout_on_cpu(const at::Tensor& relevance, const at::Tensor& attention, const at::Tensor& offsets,
                            const at::Tensor& row, const at::Tensor& identity, double lam, double residual,
                            c10::string_view relevance_scale, c10::string_view attention_scale, bool normalise) {
  const Arguments a = checked(relevance, attention, row, identity, relevance_scale, attention_scale);
  const auto offset = checked_offsets(offsets, relevance.numel());
  int64_t entries = 0;
  for (size_t b = 1; b < offset.size(); ++b) entries += (offset[b] - offset[b - 1]) * (offset[b] - offset[b - 1]);
  check_vector(attention, relevance, "attention", entries);
  const auto run = [&]<typename T>(T*) {
    fuse<T>(offset, a.relevance.const_data_ptr<T>(), a.attention.const_data_ptr<T>(), a.row.const_data_ptr<T>(),
            a.identity.const_data_ptr<T>(), lam, residual, a.relevance_scale, a.attention_scale, normalise, a.scalar,
            a.row_out.mutable_data_ptr<T>(), a.identity_out.mutable_data_ptr<T>());
  };
  if (a.scalar == Scalar::f64) {
    run(static_cast<double*>(nullptr));
  } else {
    run(static_cast<float*>(nullptr));
  }
  return {a.row_out, a.identity_out};
}

#if defined(CALIG_WITH_CUDA)
// The contents of `offsets` are not looked at: that would wait for the device.
Results fuse_rollout_on_cuda(const at::Tensor& relevance, const at::Tensor& attention, const at::Tensor& offsets,
                             const at::Tensor& row, const at::Tensor& identity, double lam, double residual,
                             c10::string_view relevance_scale, c10::string_view attention_scale, bool normalise) {
  const c10::cuda::CUDAGuard guard(relevance.device());
  const Arguments a = checked(relevance, attention, row, identity, relevance_scale, attention_scale);
  check_numbers(offsets, "offsets", relevance.device());
  TORCH_CHECK(offsets.numel() > 0, "offsets: expected at least one entry, 0, got none");
  const int64_t tokens = relevance.numel(), count = offsets.numel() - 1;
  const at::Tensor packed = offsets.contiguous();
  static_assert(sizeof(RolloutInput) == 6 * sizeof(int64_t));
  const at::Tensor inputs = at::empty({count, 6}, offsets.options());
  const at::Tensor measures = at::empty({most_rollout_runs(tokens, count)}, relevance.options().dtype(at::kDouble));
  const at::Tensor partial = at::empty({most_rollout_partials(tokens, attention.numel())}, relevance.options());
  const FuseRolloutCuda problem{a.scalar,
                                tokens,
                                count,
                                packed.const_data_ptr<int64_t>(),
                                a.relevance.const_data_ptr(),
                                a.attention.const_data_ptr(),
                                a.row.const_data_ptr(),
                                a.identity.const_data_ptr(),
                                lam,
                                residual,
                                a.relevance_scale,
                                a.attention_scale,
                                normalise,
                                a.row_out.mutable_data_ptr(),
                                a.identity_out.mutable_data_ptr(),
                                static_cast<RolloutInput*>(inputs.mutable_data_ptr()),
                                measures.mutable_data_ptr<double>(),
                                partial.mutable_data_ptr()};
  C10_CUDA_CHECK(fuse_rollout_cuda(problem, c10::cuda::getCurrentCUDAStream()));
  return {a.row_out, a.identity_out};
}
#endif

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("fuse_rollout", &fuse_rollout_on_cpu);
}

#if defined(CALIG_WITH_CUDA)
TORCH_LIBRARY_IMPL(calig_fast, CUDA, m) {
  m.impl("fuse_rollout", &fuse_rollout_on_cuda);
}
#endif

}  // namespace calig_fast
