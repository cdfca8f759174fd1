#include "../common/simd.h"
#include "accumulate_gradients.h"

namespace calig_fast::CALIG_ISA {
namespace {

constexpr int64_t kBlock = 8;  // tokens at a time: their directions stay in cache while the segments stream past

// One block of `count` tokens of one input: `local` is the first token's place within the input.
template <typename T>
void block(const AccumulateGradients& p, int64_t input, int64_t local, int64_t count) {
  using A = typename Accumulate<T>::type;
  const int64_t token = p.offsets[input] + local, width = p.width[0];
  A* lig = p.lig ? static_cast<A*>(p.lig) + token * width : nullptr;
  double r[kBlock] = {};
  if (lig) std::memset(lig, 0, count * width * sizeof(A));
  for (int64_t i = p.segments_begin[input]; i < p.segments_begin[input + 1]; ++i) {
    const int64_t s = p.segments[i], row = p.first_row[s] + local;
    const A weight = static_cast<A>(p.weights[s]);
    for (int64_t t = 0; t < count; ++t) {
      A phi = 0;
      for (int k = 0; k < p.pairs; ++k) {
        phi += dot(static_cast<const T*>(p.gradients[k]) + (row + t) * p.width[k],
                   static_cast<const T*>(p.directions[k]) + (token + t) * p.width[k], p.width[k]);
      }
      static_cast<A*>(p.phi)[row + t] = phi;
      r[t] += p.weights[s] * static_cast<double>(phi);
      if (lig) {
        const T* gradient = static_cast<const T*>(p.gradients[0]) + (row + t) * width;
        A* out = lig + t * width;
#pragma omp simd
        for (int64_t d = 0; d < width; ++d) out[d] += weight * load(gradient[d]);
      }
    }
  }
  for (int64_t t = 0; t < count; ++t) static_cast<A*>(p.r)[token + t] = static_cast<A>(r[t]);
  if (lig) {
    const T* direction = static_cast<const T*>(p.directions[0]) + token * width;
#pragma omp simd
    for (int64_t d = 0; d < count * width; ++d) lig[d] *= load(direction[d]);
  }
}

template <typename T>
void tokens(const AccumulateGradients& p, int64_t begin, int64_t end) {
  int64_t input = 0;
  for (int64_t t = begin; t < end;) {
    while (p.offsets[input + 1] <= t) ++input;
    int64_t stop = p.offsets[input + 1] < end ? p.offsets[input + 1] : end;
    stop = stop < t + kBlock ? stop : t + kBlock;
    block<T>(p, input, t - p.offsets[input], stop - t);
    t = stop;
  }
}

}  // namespace

void accumulate_tokens(const AccumulateGradients& problem, int64_t begin, int64_t end) {
  with_type(problem.scalar, [&](auto zero) { tokens<decltype(zero)>(problem, begin, end); });
}

}  // namespace calig_fast::CALIG_ISA
