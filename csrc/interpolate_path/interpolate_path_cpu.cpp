#include "../common/simd.h"
#include "interpolate_path.h"

namespace calig_fast::CALIG_ISA {
namespace {

// Leaves from the nearer end point, as torch.lerp does: both ends come out exactly.
template <typename T>
void interpolate(const T* start, const T* end, T* out, double node, int64_t n) {
  using A = typename Accumulate<T>::type;
  if (node == 0 || node == 1) {
    std::memcpy(out, node == 0 ? start : end, n * sizeof(T));
    return;
  }
  const A a = static_cast<A>(node);
  if (node < 0.5) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(out + i, load(start[i]) + a * (load(end[i]) - load(start[i])));
  } else {
    const A rest = static_cast<A>(1) - a;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(out + i, load(end[i]) - rest * (load(end[i]) - load(start[i])));
  }
}

template <typename T>
void rows(const InterpolatePath& p, int64_t begin, int64_t end) {
  int64_t low = 0, high = p.segments;  // the segment that holds row `begin`
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (p.first_row[middle] <= begin ? low : high) = middle;
  }
  for (int64_t row = begin, s = low; row < end; ++s) {
    const int64_t stop = p.first_row[s + 1] < end ? p.first_row[s + 1] : end;
    if (stop <= row) continue;
    const int64_t from = (p.token[s] + row - p.first_row[s]) * p.width;
    interpolate(static_cast<const T*>(p.start) + from, static_cast<const T*>(p.end) + from,
                static_cast<T*>(p.points) + row * p.width, p.nodes[s], (stop - row) * p.width);
    row = stop;
  }
}

}  // namespace

void interpolate_rows(const InterpolatePath& problem, int64_t begin, int64_t end) {
  switch (problem.scalar) {
    case Scalar::f32:
      return rows<float>(problem, begin, end);
    case Scalar::f64:
      return rows<double>(problem, begin, end);
    case Scalar::bf16:
      return rows<Bf16>(problem, begin, end);
  }
}

}  // namespace calig_fast::CALIG_ISA
