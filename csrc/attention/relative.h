// Keys and queries of relative positions: at a query t and a key u, a[u - t] is added to the key and b[u - t] to the
// query. The distances lie in order of u - t, so that the terms of one row lie side by side, and those of two rows one
// apart: the products of a strip of rows with all distances that it meets in a block hold each term once.
#pragma once

#include "pack.h"

namespace calig_fast::CALIG_ISA {

constexpr int64_t kStripRows = 32, kOtherRows = 128;  // of a strip, and of the other side of a block
constexpr int64_t kStripPitch = 176;                  // 159 distances, and not a power of two apart

// One side's table of a head: its rows, and their transpose, which products read up to a panel beyond the last.
template <typename A>
struct RelativeTable {
  A *rows, *turned;  // [distances, width], [width, pitch]
  int64_t width, pitch;

  RelativeTable(Scratch& scratch, int64_t tokens, int64_t columns)
      : width(columns), pitch(rounded_up(2 * tokens, kPanel<A>) + kPanel<A>) {
    rows = scratch.take<A>(pitch * width);
    turned = scratch.take<A>(width * pitch);
  }

  // From x [2N-1, size], where row t - u + N - 1 is of a query t and a key u.
  template <typename T>
  void fill(const T* x, int64_t span, int64_t size, A scale, int64_t tokens) const {
    const int64_t count = 2 * tokens - 1, last = span / 2 + tokens - 1;
    for (int64_t r = 0; r < count; ++r) pack(x + (last - r) * size, size, 1, size, scale, 1, width, rows + r * width);
    std::memset(rows + count * width, 0, sizeof(A) * (pitch - count) * width);
    for (int64_t r = 0; r < pitch; r += kLanes<A>)
      for (int64_t e = 0; e < width; e += kLanes<A>)
        transpose_square(rows + r * width + e, width, turned + e * pitch + r, pitch);
  }
};

template <typename A>
struct Relative {
  RelativeTable<A> keys, queries;
  A* strip;        // [kStripRows, kStripPitch]
  int64_t tokens;  // of the segment

  Relative(Scratch& scratch, int64_t rows, int64_t width)
      : keys(scratch, rows, width),
        queries(scratch, rows, width),
        strip(scratch.take<A>(kStripRows * kStripPitch)),
        tokens(rows) {}

  // From the tables of one head; the second side is multiplied by the logits' scale, as queries are.
  template <typename T>
  void fill(const T* key_rows, const T* query_rows, int64_t span, int64_t size, A scale) const {
    keys.fill(key_rows, span, size, A(1), tokens);
    queries.fill(query_rows, span, size, scale, tokens);
  }

  // Where the distances of a block's last query and first key begin.
  int64_t first(int64_t t, int64_t count, int64_t u) const { return u - (t + count - 1) + tokens - 1; }

  // The products of some rows with the distances from `begin` on, in the strip.
  void meet(const RelativeTable<A>& table, const A* x, int64_t rows, int64_t begin, int64_t distances) const {
    product<A>({x, table.width, 1, table.turned + begin, table.pitch, table.width, strip, kStripPitch, false}, rows,
               rounded_up(distances, kLanes<A>));
  }

  // Adds both terms of the queries from t on and the keys from u on, whose rows are q (times the scale) and k, to
  // element (i, j) at out[i across + j down].
  [[gnu::always_inline]] inline void add(const A* q, int64_t t, int64_t count, const A* k, int64_t u, int64_t others,
                                         A* out, int64_t across, int64_t down) const {
    for (int64_t i = 0; i < count; i += kStripRows) {
      const int64_t rows = count - i < kStripRows ? count - i : kStripRows;
      meet(keys, q + i * keys.width, rows, first(t + i, rows, u), rows + others - 1);
      for (int64_t r = 0; r < rows; ++r) {
        const A* terms = strip + r * kStripPitch + rows - 1 - r;
        A* line = out + (i + r) * across;
        for (int64_t j = 0; j < others; ++j) line[j * down] += terms[j];
      }
    }
    for (int64_t j = 0; j < others; j += kStripRows) {
      const int64_t rows = others - j < kStripRows ? others - j : kStripRows;
      meet(queries, k + j * queries.width, rows, first(t, count, u + j), count + rows - 1);
      for (int64_t r = 0; r < rows; ++r) {
        const A* terms = strip + r * kStripPitch + r + count - 1;
        A* line = out + (j + r) * down;
        for (int64_t i = 0; i < count; ++i) line[i * across] += terms[-i];
      }
    }
  }

  // Adds dS a to dq and dS^T b to dk, of dS [count, others] with its rows `pitch` apart.
  void backward(const A* ds, int64_t pitch, int64_t t, int64_t count, int64_t u, int64_t others, A* dq, A* dk) const {
    for (int64_t i = 0; i < count; i += kStripRows) {
      const int64_t rows = count - i < kStripRows ? count - i : kStripRows, distances = rows + others - 1;
      std::memset(strip, 0, sizeof(A) * rows * kStripPitch);
      for (int64_t r = 0; r < rows; ++r)
        std::memcpy(strip + r * kStripPitch + rows - 1 - r, ds + (i + r) * pitch, sizeof(A) * others);
      spread(keys, first(t + i, rows, u), distances, rows, dq + i * keys.width);
    }
    for (int64_t j = 0; j < others; j += kStripRows) {
      const int64_t rows = others - j < kStripRows ? others - j : kStripRows, distances = count + rows - 1;
      std::memset(strip, 0, sizeof(A) * rows * kStripPitch);
      for (int64_t i = 0; i < count; ++i)
        for (int64_t r = 0; r < rows; ++r) strip[r * kStripPitch + r - i + count - 1] = ds[i * pitch + j + r];
      spread(queries, first(t, count, u + j), distances, rows, dk + j * queries.width);
    }
  }

  // Adds the strip's products with the rows of the distances from `begin` on.
  void spread(const RelativeTable<A>& table, int64_t begin, int64_t distances, int64_t rows, A* out) const {
    const A* x = table.rows + begin * table.width;
    product<A>({strip, kStripPitch, 1, x, table.width, distances, out, table.width, true}, rows, table.width);
  }
};

// What a problem of this type needs of scratch: what `Buffers` takes, and the tables.
template <template <typename> class Buffers, typename Problem>
int64_t scratch_bytes(const Problem& problem, int64_t longest) {
  Scratch counted{nullptr};
  count_scratch<Buffers>(counted, problem.scalar, longest, problem.size);
  if (problem.relative) count_scratch<Relative>(counted, problem.scalar, longest, problem.size);
  return counted.used;
}

// The tables of one head of a problem in scratch; null ones where it has none.
template <typename T, typename Problem, typename A = typename Accumulate<T>::type>
Relative<A> relative_of(const Problem& p, int64_t head, int64_t tokens, Scratch& scratch) {
  Scratch none{nullptr};
  const Relative<A> found(p.relative ? scratch : none, tokens, rounded_up(p.size, kLanes<A>));
  if (p.relative) {
    const T *keys = static_cast<const T*>(p.relative) + head * p.span * p.size,
            *queries = keys + p.heads * p.span * p.size;
    found.fill(keys, queries, p.span, p.size, static_cast<A>(p.scale));
  }
  return found;
}

}  // namespace calig_fast::CALIG_ISA
