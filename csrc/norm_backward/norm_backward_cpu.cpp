#include "../common/simd.h"
#include "norm_backward.h"

namespace calig_fast::CALIG_ISA {
namespace {

template <typename T, bool kWeight>
[[gnu::always_inline]] inline typename Accumulate<T>::type weighted(const T* gradient, const T* weight, int64_t d) {
  if constexpr (kWeight) return load(gradient[d]) * load(weight[d]);
  return load(gradient[d]);
}

// The row is read twice, the second time from cache.
template <typename T, bool kWeight, bool kResidual, typename A = typename Accumulate<T>::type>
void row(const T* __restrict gradient, const T* __restrict x, A mean, A deviation, const T* __restrict weight,
         const T* __restrict residual, T* __restrict out, int64_t width) {
  // both halves at once: two chains a sum, so that the additions' latency does not bound it
  const int64_t half = width / 2;
  A sum0 = 0, sum1 = 0, along0 = 0, along1 = 0;
#pragma omp simd reduction(+ : sum0, sum1, along0, along1)
  for (int64_t d = 0; d < half; ++d) {
    const A first = weighted<T, kWeight>(gradient, weight, d);
    const A second = weighted<T, kWeight>(gradient, weight, d + half);
    sum0 += first;
    sum1 += second;
    along0 += first * (load(x[d]) - mean);
    along1 += second * (load(x[d + half]) - mean);
  }
  if (width % 2) {
    const A last = weighted<T, kWeight>(gradient, weight, width - 1);
    sum0 += last;
    along0 += last * (load(x[width - 1]) - mean);
  }
  const A level = (sum0 + sum1) / static_cast<A>(width);
  const A slope = (along0 + along1) / static_cast<A>(width) * deviation * deviation;
#pragma omp simd
  for (int64_t d = 0; d < width; ++d) {
    A found = deviation * (weighted<T, kWeight>(gradient, weight, d) - level - (load(x[d]) - mean) * slope);
    if constexpr (kResidual) found += load(residual[d]);
    store(out + d, found);
  }
}

template <typename T, bool kWeight, bool kResidual>
void rows(const NormBackward& p, int64_t begin, int64_t end) {
  using A = typename Accumulate<T>::type;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t at = r * p.width;
    row<T, kWeight, kResidual>(
        static_cast<const T*>(p.gradient) + at, static_cast<const T*>(p.x) + at, static_cast<const A*>(p.mean)[r],
        static_cast<const A*>(p.deviation)[r], static_cast<const T*>(p.weight),
        kResidual ? static_cast<const T*>(p.residual) + at : nullptr, static_cast<T*>(p.out) + at, p.width);
  }
}

template <typename T>
void rows(const NormBackward& p, int64_t begin, int64_t end) {
  if (p.weight) return p.residual ? rows<T, true, true>(p, begin, end) : rows<T, true, false>(p, begin, end);
  return p.residual ? rows<T, false, true>(p, begin, end) : rows<T, false, false>(p, begin, end);
}

}  // namespace

void norm_backward_rows(const NormBackward& problem, int64_t begin, int64_t end) {
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
