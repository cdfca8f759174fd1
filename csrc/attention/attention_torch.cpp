#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <tuple>
#include <vector>

#include "../common/segments.h"
#include "../common/tensors.h"
#include "attention.h"

namespace calig_fast {
namespace {

at::Tensor checked(const at::Tensor& tensor, const char* name, at::IntArrayRef shape, at::ScalarType type) {
  TORCH_CHECK(tensor.sizes() == shape && tensor.scalar_type() == type && tensor.device().is_cpu(), name, ": expected ",
              shape, " ", type, " on the CPU, got ", tensor.sizes(), " ", tensor.scalar_type(), " on ",
              tensor.device());
  return tensor.contiguous();
}

using Optional = std::optional<at::Tensor>;

// The common part of both problems, and what it points to.
struct Packed {
  at::Tensor qkv, bias, relative;
  std::vector<int64_t> offsets;
  int64_t longest = 0;
  int64_t before, after;  // of the band, -1 for all

  Packed(const at::Tensor& tensor, const at::Tensor& places, int64_t most, const Optional& added,
         const Optional& distances, int64_t past, int64_t future)
      : before(past), after(future) {
    TORCH_CHECK(before >= -1 && after >= -1, "before and after: expected numbers of rows, or -1 for all, got ", before,
                " and ", after);
    TORCH_CHECK(tensor.dim() == 4 && tensor.size(1) == 3, "qkv: expected [rows, 3, H, E], got ", tensor.sizes());
    qkv = tensor.contiguous();
    offsets = checked_offsets(places, qkv.size(0));
    for (size_t s = 1; s < offsets.size(); ++s) longest = std::max(longest, offsets[s] - offsets[s - 1]);
    TORCH_CHECK(longest <= most, "longest: expected at least ", longest, ", the longest segment's rows, got ", most);
    if (added) {
      const int64_t side = added->dim() == 3 ? std::max(most, added->size(1)) : most;
      bias = checked(*added, "bias", {qkv.size(2), side, side}, wide());
    }
    if (distances) {
      const int64_t least = std::max<int64_t>(2 * most - 1, 1);
      const int64_t span = distances->dim() == 4 ? std::max(least, distances->size(2)) | 1 : least;
      relative = checked(*distances, "relative", {2, qkv.size(2), span, qkv.size(3)}, qkv.scalar_type());
    }
  }
  int64_t segments() const { return static_cast<int64_t>(offsets.size()) - 1; }
  at::ScalarType wide() const { return qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }
  void describe(Attention& p, double scale) const {
    p.scalar = scalar_of(qkv, "qkv");
    p.rows = qkv.size(0);
    p.heads = qkv.size(2);
    p.size = qkv.size(3);
    p.offsets = offsets.data();
    p.scale = scale;
    p.qkv = qkv.const_data_ptr();
    p.bias = bias.defined() ? bias.const_data_ptr() : nullptr;
    p.side = bias.defined() ? bias.size(1) : 0;
    p.relative = relative.defined() ? relative.const_data_ptr() : nullptr;
    p.span = relative.defined() ? relative.size(2) : 0;
    p.before = before < 0 ? p.rows : before;
    p.after = after < 0 ? p.rows : after;
  }
};

// Calls run(item, scratch) for every item. Items differ in their time, segments in their rows: a thread takes the next
// as it is done with one. Each writes what no other does, so that their order is all the same.
template <typename Run>
void share(int64_t items, int64_t bytes, Run run) {
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), items);
  const at::Tensor scratch = at::empty({threads, (bytes + 63) / 64 * 64}, at::kByte);
  char* memory = static_cast<char*>(scratch.mutable_data_ptr());
  std::atomic<int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t) {
    for (int64_t item; (item = next++) < items;) run(item, memory + begin * scratch.stride(0));
  });
}

std::tuple<at::Tensor, at::Tensor> attention_forward_cpu(const at::Tensor& qkv, const at::Tensor& offsets,
                                                         int64_t longest, double scale, const Optional& bias,
                                                         const Optional& relative, int64_t before, int64_t after) {
  const Packed packed(qkv, offsets, longest, bias, relative, before, after);
  AttentionForward problem{};
  packed.describe(problem, scale);
  const auto options = packed.qkv.options();
  const at::Tensor out = at::empty({problem.rows, problem.heads, problem.size}, options);
  const at::Tensor lse = at::empty({problem.heads, problem.rows}, options.dtype(packed.wide()));
  problem.out = out.mutable_data_ptr();
  problem.lse = lse.mutable_data_ptr();
  const auto body = CALIG_PICK(attention_forward_head);
  const int64_t bytes = CALIG_PICK(attention_forward_scratch)(problem, packed.longest);
  share(packed.segments() * problem.heads, bytes,
        [&](int64_t item, void* scratch) { body(problem, item / problem.heads, item % problem.heads, scratch); });
  return {out, lse};
}

std::tuple<at::Tensor, at::Tensor> attention_backward_cpu(const at::Tensor& gradient, const at::Tensor& qkv,
                                                          const at::Tensor& out, const at::Tensor& lse,
                                                          const at::Tensor& offsets, int64_t longest, double scale,
                                                          int64_t maps, bool positive, const Optional& bias,
                                                          const Optional& relative, int64_t before, int64_t after) {
  const Packed packed(qkv, offsets, longest, bias, relative, before, after);
  AttentionBackward problem{};
  packed.describe(problem, scale);
  const auto heads = problem.heads, segments = packed.segments();
  TORCH_CHECK(maps >= 0 && maps <= segments, "maps: expected 0 to ", segments, ", got ", maps);
  const auto type = qkv.scalar_type();
  const at::Tensor g = checked(gradient, "gradient", {problem.rows, heads, problem.size}, type);
  const at::Tensor o = checked(out, "out", {problem.rows, heads, problem.size}, type);
  const at::Tensor sums = checked(lse, "lse", {heads, problem.rows}, packed.wide());
  const at::Tensor dqkv = at::empty(packed.qkv.sizes(), packed.qkv.options());
  const at::Tensor kept = at::zeros({maps, longest, longest}, sums.options());
  problem.gradient = g.const_data_ptr();
  problem.out = o.const_data_ptr();
  problem.lse = sums.const_data_ptr();
  problem.maps = kept.mutable_data_ptr();
  problem.longest = longest;
  problem.positive = positive;
  problem.dqkv = dqkv.mutable_data_ptr();
  const auto body = CALIG_PICK(attention_backward_head);
  const int64_t bytes = CALIG_PICK(attention_backward_scratch)(problem, packed.longest);
  // a segment with a map is one item, so that its heads are added in their order; these come first, as the longest
  share(maps + (segments - maps) * heads, bytes, [&](int64_t item, void* scratch) {
    if (item >= maps) return body(problem, maps + (item - maps) / heads, (item - maps) % heads, false, scratch);
    for (int64_t h = 0; h < heads; ++h) body(problem, item, h, true, scratch);
  });
  kept.div_(heads);
  return {dqkv, kept};
}

}  // namespace

TORCH_LIBRARY_IMPL(calig_fast, CPU, m) {
  m.impl("attention_forward", &attention_forward_cpu);
  m.impl("attention_backward", &attention_backward_cpu);
}

}  // namespace calig_fast
