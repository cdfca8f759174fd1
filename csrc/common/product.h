// Small matrix products in cache: C [rows, columns] (+)= A B, a tile of C in registers at a time.
#pragma once

#include "vector.h"

namespace calig_fast::CALIG_ISA {

// A tile has kTileRows x 2 vectors. Rows that are left over share the tiles out evenly: 9 rows are 5 and 4.
#if defined(__AVX512F__)
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif

// Rows of a panel, the columns of a transposed one: a tile of two vectors.
template <typename A>
constexpr int64_t kPanel = 2 * kLanes<A>;

// Element (i, k) of A is a[i row + k step]: A may be a matrix or the transpose of one. B and C have their rows `ldb`
// and `ldc` apart, and columns that are a multiple of a vector's lanes.
template <typename A>
struct Product {
  const A* a;
  int64_t row, step;
  const A* b;
  int64_t ldb;
  int64_t length;  // the sum's
  A* c;
  int64_t ldc;
  bool add;  // to what C holds
};

template <typename A, int kRows, int kVectors>
void product_tile(const Product<A>& p, int64_t first, int64_t column) {
  constexpr int kWidth = kLanes<A>;
  const int64_t row = p.row, step = p.step, ldb = p.ldb;
  const A* __restrict a = p.a + first * row;
  const A* __restrict b = p.b + column;
  A* __restrict c = p.c + first * p.ldc + column;
  Vector<A> sums[kRows][kVectors] = {};
  for (int64_t k = 0; k < p.length; ++k) {
    Vector<A> y[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) y[j] = load_vector(b + j * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const A x = a[i * row];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] += x * y[j];
    }
    a += step;
    b += ldb;
  }
  // last: a sum over many blocks is then one of the blocks' sums, which rounds less than one term after another
  if (p.add) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] += load_vector(c + i * p.ldc + j * kWidth);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) store_vector(c + i * p.ldc + j * kWidth, sums[i][j]);
}

template <typename A, int kVectors, int kRows = kTileRows>
[[gnu::always_inline]] inline void product_rows(const Product<A>& p, int64_t rows, int64_t first, int64_t column) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return product_tile<A, kRows, kVectors>(p, first, column);
    product_rows<A, kVectors, kRows - 1>(p, rows, first, column);
  }
}

template <typename A>
void product(const Product<A>& p, int64_t rows, int64_t columns) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t column = 0; column < columns; column += 2 * kLanes<A>) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = tile * rows / tiles, count = (tile + 1) * rows / tiles - first;
      if (columns - column > kLanes<A>) {
        product_rows<A, 2>(p, count, first, column);
      } else {
        product_rows<A, 1>(p, count, first, column);
      }
    }
  }
}

}  // namespace calig_fast::CALIG_ISA
