// Vectors of the instruction set being compiled, in the compiler's own vector types.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace calig_fast::CALIG_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename A>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(A));

template <typename A>
struct VectorOf {
  typedef A type __attribute__((vector_size(kVectorBytes)));
};
template <typename A>
using Vector = typename VectorOf<A>::type;

template <typename A>
[[gnu::always_inline]] inline Vector<A> load_vector(const A* p) {
  Vector<A> out;
  std::memcpy(&out, p, sizeof out);
  return out;
}

template <typename A>
[[gnu::always_inline]] inline void store_vector(A* p, Vector<A> x) {
  std::memcpy(p, &x, sizeof x);
}

// x[from], y[from], x[from + 1], y[from + 1], ... for as many as a vector takes.
template <typename A, int kFrom, int... kIndex>
[[gnu::always_inline]] inline Vector<A> interleaved(Vector<A> x, Vector<A> y,
                                                    std::integer_sequence<int, kIndex...> /*lanes*/) {
#if defined(__clang__)
  return __builtin_shufflevector(x, y, (kFrom + kIndex / 2 + kIndex % 2 * kLanes<A>)...);
#else
  typedef decltype(x < y) Mask;
  return __builtin_shuffle(x, y, Mask{(kFrom + kIndex / 2 + kIndex % 2 * kLanes<A>)...});
#endif
}

// Transposes the square of kLanes rows. To interleave row i with row i + kLanes/2 moves the top bit of an element's row
// number to the bottom of its column number; once a bit, and rows and columns have changed places.
template <typename A>
[[gnu::always_inline]] inline void transpose_square(const A* x, int64_t stride, A* out, int64_t out_stride) {
  constexpr int kSize = kLanes<A>, kHalf = kSize / 2;
  using Lanes = std::make_integer_sequence<int, kSize>;
  Vector<A> rows[2][kSize];
#pragma GCC unroll 16
  for (int i = 0; i < kSize; ++i) rows[0][i] = load_vector(x + i * stride);
  int from = 0;
#pragma GCC unroll 4
  for (int bit = 1; bit < kSize; bit *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      rows[1 - from][2 * i] = interleaved<A, 0>(rows[from][i], rows[from][i + kHalf], Lanes{});
      rows[1 - from][2 * i + 1] = interleaved<A, kHalf>(rows[from][i], rows[from][i + kHalf], Lanes{});
    }
    from = 1 - from;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kSize; ++i) store_vector(out + i * out_stride, rows[from][i]);
}

}  // namespace calig_fast::CALIG_ISA
