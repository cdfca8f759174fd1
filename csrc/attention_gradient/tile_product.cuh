// The seam where a block's product of two tiles is made: by FMA, or by tensor cores where the device has them.
//
// tile_product<T, Tile, kPrecision>(a, b, units, sums) adds A B^T to `sums`. Contract, of either twin:
//
// - All kThreads threads call it, after a barrier behind what wrote the tiles; it has no barrier of its own and writes
//   no shared memory. Blocks are one-dimensional.
// - `a` is A [Tile::kRows, depth] and `b` is B [Tile::kColumns, depth] in shared memory, a row after a row of kStride
//   units of 16 bytes, of which the first `units`, at most kUnits, are summed over: `units` may be any number for FMA,
//   and what it is rounded up to by two must be there too, zero beyond the depth. A ninth unit that nobody reads keeps
//   eight rows in different banks.
// - `sums` is the thread's share of the [kRows, kColumns] result, in wide_t<T>, in registers. Element i of piece (m, n)
//   is of row Tile::row(m, i) and column Tile::column(n, i), the layout of the accumulators of mma.m16n8: warps lie in
//   kDown rows of kAcross, each with kM by kN pieces of 16 x 8. Twins differ in rounding alone.
#pragma once

#include "../common/device.cuh"
#include "tensor_cores.cuh"

namespace calig_fast {

constexpr int kThreads = 128;
constexpr int kUnits = 8, kStride = kUnits + 1;

template <int kDown, int kM, int kN>
struct TileShape {
  static constexpr int kAcross = kThreads / kWarp / kDown;
  static constexpr int kPiecesDown = kM, kPiecesAcross = kN;
  static constexpr int kRows = kDown * kM * 16, kColumns = kAcross * kN * 8;

  static __device__ __forceinline__ int first_row() { return threadIdx.x / kWarp / kAcross * kM * 16; }
  static __device__ __forceinline__ int first_column() { return threadIdx.x / kWarp % kAcross * kN * 8; }
  static __device__ __forceinline__ int row(int m, int i) {
    return first_row() + m * 16 + i / 2 * 8 + threadIdx.x % kWarp / 4;
  }
  static __device__ __forceinline__ int column(int n, int i) {
    return first_column() + n * 8 + threadIdx.x % 4 * 2 + i % 2;
  }
};

template <typename A, typename Tile>
struct Share {
  A at[Tile::kPiecesDown][Tile::kPiecesAcross][4];
};

template <typename T>
using Unit = Pack<T, kPack<T>>;

enum class Precision { exact, tf32 };

template <typename T, typename Tile>
__device__ __forceinline__ void fma_product(const Unit<T>* a, const Unit<T>* b, int units,
                                            Share<wide_t<T>, Tile>& sums) {
  constexpr int kM = Tile::kPiecesDown, kN = Tile::kPiecesAcross;
#pragma unroll 1
  for (int unit = 0; unit < units; ++unit) {
    Unit<T> x[2 * kM];
#pragma unroll
    for (int r = 0; r < 2 * kM; ++r) x[r] = a[Tile::row(r / 2, r % 2 * 2) * kStride + unit];
#pragma unroll
    for (int c = 0; c < 2 * kN; ++c) {
      const Unit<T> y = b[Tile::column(c / 2, c % 2) * kStride + unit];
#pragma unroll
      for (int r = 0; r < 2 * kM; ++r)
#pragma unroll
        for (int e = 0; e < kPack<T>; ++e)
          sums.at[r / 2][c / 2][r % 2 * 2 + c % 2] += widen(x[r].at[e]) * widen(y.at[e]);
    }
  }
}

#if defined(CALIG_TENSOR_CORES)
template <typename T, typename Tile>
__device__ __forceinline__ void mma_product(const Unit<T>* a, const Unit<T>* b, int units, Share<float, Tile>& sums) {
  constexpr int kM = Tile::kPiecesDown, kN = Tile::kPiecesAcross;
  static_assert(kN % 2 == 0, "load_matrices brings the columns of two pieces");
  constexpr bool kRound = sizeof(T) == sizeof(float);
  const int lane = threadIdx.x % kWarp;
  // rows 0-7 and 8-15 of the first unit, then both of the second; of B the two units first
  a += (Tile::first_row() + lane % 16) * kStride + lane / 16;
  b += (Tile::first_column() + lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2;
#pragma unroll 1
  for (int unit = 0; unit < units; unit += 2) {
    unsigned x[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      load_matrices(x[m], a + m * 16 * kStride + unit);
      if constexpr (kRound) round_words(x[m]);
    }
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      unsigned y[4];
      load_matrices(y, b + n * 8 * kStride + unit);
      if constexpr (kRound) round_words(y);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply(sums.at[m][n], x[m], y[0], y[1], T{});
        multiply(sums.at[m][n + 1], x[m], y[2], y[3], T{});
      }
    }
  }
}
#endif

template <typename T, typename Tile, Precision kPrecision>
__device__ __forceinline__ void tile_product(const Unit<T>* a, const Unit<T>* b, int units,
                                             Share<wide_t<T>, Tile>& sums) {
#if defined(CALIG_TENSOR_CORES)
  if constexpr (sizeof(T) == 2 || (std::is_same_v<T, float> && kPrecision == Precision::tf32)) {
    mma_product<T, Tile>(a, b, units, sums);
    return;
  }
#endif
  fma_product<T, Tile>(a, b, units, sums);
}

}  // namespace calig_fast
