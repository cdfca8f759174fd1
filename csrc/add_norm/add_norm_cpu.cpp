#include <cmath>
#include <type_traits>

#include "../common/simd.h"
#include "add_norm.h"

namespace calig_fast::CALIG_ISA {
namespace {

// The row is read three times, the last two from cache: for its mean, for the variance about it with what rounding left
// of it, and for the result.
template <typename T, bool kWeight, bool kBias, typename A = typename Accumulate<T>::type>
void row(const AddNorm& p, int64_t r) {
  const int64_t width = p.width, at = r * width;
  const T* __restrict x = static_cast<const T*>(p.x) + at;
  const T* __restrict residual = static_cast<const T*>(p.residual) + at;
  const T* __restrict weight = static_cast<const T*>(p.weight);
  const T* __restrict bias = static_cast<const T*>(p.bias);
  T* __restrict total = static_cast<T*>(p.total) + at;
  T* __restrict out = static_cast<T*>(p.out) + at;
  const auto y = [&](int64_t d) {
    if constexpr (std::is_same_v<T, A>) return total[d];  // written already; one of 16 bits is rounded
    return static_cast<A>(load(x[d]) + load(residual[d]));
  };
  A sum = 0, rest = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < width; ++d) {
    const A value = load(x[d]) + load(residual[d]);
    store(total + d, value);
    sum += value;
  }
  const A mean = sum / static_cast<A>(width);
#pragma omp simd reduction(+ : rest, squares)
  for (int64_t d = 0; d < width; ++d) {
    const A centred = y(d) - mean;
    rest += centred;
    squares += centred * centred;
  }
  rest /= static_cast<A>(width);
  const A deviation = 1 / std::sqrt(squares / static_cast<A>(width) - rest * rest + static_cast<A>(p.eps));
#pragma omp simd
  for (int64_t d = 0; d < width; ++d) {
    A found = (y(d) - mean - rest) * deviation;
    if constexpr (kWeight) found *= load(weight[d]);
    if constexpr (kBias) found += load(bias[d]);
    store(out + d, found);
  }
  static_cast<A*>(p.mean)[r] = mean;
  static_cast<A*>(p.deviation)[r] = deviation;
}

template <typename T, bool kWeight, bool kBias>
void rows(const AddNorm& p, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) row<T, kWeight, kBias>(p, r);
}

template <typename T>
void rows(const AddNorm& p, int64_t begin, int64_t end) {
  if (p.weight) return p.bias ? rows<T, true, true>(p, begin, end) : rows<T, true, false>(p, begin, end);
  return p.bias ? rows<T, false, true>(p, begin, end) : rows<T, false, false>(p, begin, end);
}

}  // namespace

void add_norm_rows(const AddNorm& problem, int64_t begin, int64_t end) {
  with_type(problem.scalar, [&](auto zero) { rows<decltype(zero)>(problem, begin, end); });
}

}  // namespace calig_fast::CALIG_ISA
