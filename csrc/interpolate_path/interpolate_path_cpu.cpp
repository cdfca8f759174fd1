#include <type_traits>

#include "../common/simd.h"
#include "interpolate_path.h"

namespace calig_fast::CALIG_ISA {
namespace {

constexpr int64_t kBlock = 1024;  // elements at a time: both ends and their difference stay in the first-level cache

// `count` elements of one input's end points, `local` elements after its first: read once, written in every segment.
template <typename T, typename O>
void block(const InterpolatePath& p, int64_t input, int64_t local, int64_t count) {
  using A = typename Accumulate<T>::type;
  const T* start = static_cast<const T*>(p.start) + p.offsets[input] * p.width + local;
  const T* end = static_cast<const T*>(p.end) + p.offsets[input] * p.width + local;
  A from[kBlock], to[kBlock], step[kBlock];
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    from[i] = load(start[i]);
    to[i] = load(end[i]);
    step[i] = to[i] - from[i];
  }
  for (int64_t i = p.segments_begin[input]; i < p.segments_begin[input + 1]; ++i) {
    const int64_t s = p.segments[i];
    O* out = static_cast<O*>(p.points) + p.first_row[s] * p.width + local;
    const double node = p.nodes[s];
    if (node == 0 || node == 1) {
      const T* end_point = node == 0 ? start : end;
      if constexpr (std::is_same_v<T, O>) {
        std::memcpy(out, end_point, count * sizeof(T));
      } else {
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) store(out + j, load(end_point[j]));
      }
      continue;
    }
    // leaves from the nearer end point, as torch.lerp does
    const A* near = node < 0.5 ? from : to;
    const A a = node < 0.5 ? static_cast<A>(node) : static_cast<A>(node) - 1;
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) store(out + j, near[j] + a * step[j]);
  }
}

template <typename T, typename O>
void tokens(const InterpolatePath& p, int64_t begin, int64_t end) {
  int64_t input = 0;
  for (int64_t t = begin; t < end;) {
    while (p.offsets[input + 1] <= t) ++input;
    const int64_t stop = p.offsets[input + 1] < end ? p.offsets[input + 1] : end;
    const int64_t last = (stop - p.offsets[input]) * p.width;
    for (int64_t local = (t - p.offsets[input]) * p.width; local < last; local += kBlock)
      block<T, O>(p, input, local, last - local < kBlock ? last - local : kBlock);
    t = stop;
  }
}

}  // namespace

void interpolate_tokens(const InterpolatePath& problem, int64_t begin, int64_t end) {
  with_type(problem.scalar, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, float>)
      if (problem.out == Scalar::bf16) return tokens<T, Bf16>(problem, begin, end);
    tokens<T, T>(problem, begin, end);
  });
}

}  // namespace calig_fast::CALIG_ISA
