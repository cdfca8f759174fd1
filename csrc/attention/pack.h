// One head's rows, copied to lie side by side in the type of the arithmetic.
#pragma once

#include "../common/product.h"
#include "../common/scalar.h"
#include "../common/simd.h"
#include "../common/vector.h"

namespace calig_fast::CALIG_ISA {

constexpr int64_t rounded_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// out[i][e] = scale x[i][e], zeros in the columns up to `width` and the rows up to `padded`.
template <typename T, typename A = typename Accumulate<T>::type>
void pack(const T* __restrict x, int64_t stride, int64_t rows, int64_t size, A scale, int64_t padded, int64_t width,
          A* __restrict out) {
  for (int64_t i = 0; i < rows; ++i) {
#pragma omp simd
    for (int64_t e = 0; e < size; ++e) out[e] = scale * load(x[e]);
    for (int64_t e = size; e < width; ++e) out[e] = 0;
    x += stride;
    out += width;
  }
  std::memset(out, 0, sizeof(A) * (padded - rows) * width);
}

// The reverse: x[i][e] = scale rows[i][e].
template <typename T, typename A = typename Accumulate<T>::type>
void unpack(const A* __restrict packed, int64_t rows, int64_t size, A scale, int64_t width, T* __restrict x,
            int64_t stride) {
  for (int64_t i = 0; i < rows; ++i) {
#pragma omp simd
    for (int64_t e = 0; e < size; ++e) store(x + e, scale * packed[e]);
    x += stride;
    packed += width;
  }
}

// A panel's transpose, out[e][i] = packed[i][e].
template <typename A>
void transpose_panel(const A* packed, int64_t width, A* out) {
  constexpr int kWidth = kLanes<A>;
  for (int64_t i = 0; i < kPanel<A>; i += kWidth)
    for (int64_t e = 0; e < width; e += kWidth)
      transpose_square(packed + i * width + e, width, out + e * kPanel<A> + i, kPanel<A>);
}

// Hands out the parts of a thread's scratch, each aligned to 64 bytes; without memory, it counts.
struct Scratch {
  char* memory;
  int64_t used = 0;

  template <typename A>
  A* take(int64_t count) {
    A* found = memory ? reinterpret_cast<A*>(memory + used) : nullptr;
    used += rounded_up(count * static_cast<int64_t>(sizeof(A)), 64);
    return found;
  }
};

// Counts what one of `Parts` takes of scratch in a problem of this type.
template <template <typename> class Part>
void count_scratch(Scratch& counted, Scalar scalar, int64_t longest, int64_t size) {
  if (scalar == Scalar::f64) {
    Part<double>(counted, longest, rounded_up(size, kLanes<double>));
  } else {
    Part<float>(counted, longest, rounded_up(size, kLanes<float>));
  }
}

}  // namespace calig_fast::CALIG_ISA
