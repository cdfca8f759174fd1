// A panel of queries at a time, which lie along the vectors: S^T [keys, queries] = k q^T, so that the softmax's maxima
// and sums are plain vector operations and the map needs no padding but of queries.
#include "../common/exponential.h"
#include "../common/product.h"
#include "attention.h"
#include "pack.h"
#include "relative.h"

namespace calig_fast::CALIG_ISA {
namespace {

constexpr int64_t kKeys = 128;  // of a block: 16 KiB of the map in float32, half of a first-level cache

template <typename A>
struct Buffers {
  A *k, *v;             // [rows, width]
  A *q, *turned, *sum;  // the panel: rows, their transpose, its out before the division
  A* map;               // [kKeys, panel]

  Buffers(Scratch& scratch, int64_t rows, int64_t width) {
    for (A** part : {&k, &v}) *part = scratch.take<A>(rows * width);
    for (A** part : {&q, &turned, &sum}) *part = scratch.take<A>(kPanel<A> * width);
    map = scratch.take<A>(kKeys * kPanel<A>);
  }
};

inline float logarithm(float x) {
  return __builtin_logf(x);
}
inline double logarithm(double x) {
  return __builtin_log(x);
}

template <typename V>
[[gnu::always_inline]] inline V greater(V x, V y) {
  return x > y ? x : y;
}

// For each query of the panel: the greatest logit and the sum of the exponentials, over the keys so far.
template <typename A>
struct Softmax {
  Vector<A> most[2], total[2];

  // Turns a block's logits into exponentials over the greatest so far; `factor` is by how much the earlier ones shrink.
  void block(A* map, int64_t keys, int64_t queries, A* factor) {
    constexpr int kWidth = kLanes<A>;
    for (int j = 0; j * kWidth < queries; ++j) {
      A* column = map + j * kWidth;
      Vector<A> above = most[j], other = most[j];
      int64_t u = 0;
      for (; u + 2 <= keys; u += 2) {
        above = greater(load_vector(column + u * kPanel<A>), above);
        other = greater(load_vector(column + (u + 1) * kPanel<A>), other);
      }
      if (u < keys) above = greater(load_vector(column + u * kPanel<A>), above);
      above = greater(above, other);
      const Vector<A> shrunk = exponential(most[j] - above);
      Vector<A> sum{};
      for (u = 0; u < keys; ++u) {
        const Vector<A> p = exponential(load_vector(column + u * kPanel<A>) - above);
        store_vector(column + u * kPanel<A>, p);
        sum += p;
      }
      store_vector(factor + j * kWidth, shrunk);
      most[j] = above;
      total[j] = total[j] * shrunk + sum;
    }
  }
};

// Of the panel's queries and some keys, the bias, queries along the vectors; zeros beside them, and without a bias.
template <typename A>
void turn_bias(const A* bias, int64_t side, int64_t queries, int64_t keys, A* map) {
  for (int64_t u = 0; u < keys; ++u)
    for (int64_t i = 0; i < kPanel<A>; ++i) map[u * kPanel<A> + i] = bias && i < queries ? bias[i * side + u] : A(0);
}

// Of queries from t on and keys from u on, the logits outside of the band become so small that they count for nothing.
// They are finite: a query that has met no key of its own yet has a greatest logit to subtract.
template <typename A>
void narrow(const Attention& p, int64_t t, int64_t queries, int64_t u, int64_t keys, A* map) {
  for (int64_t j = 0; j < keys; ++j)
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t step = u + j - t - i;
      if (step < -p.before || step > p.after) map[j * kPanel<A> + i] = A(-1e30);
    }
}

template <typename T>
void head(const AttentionForward& p, int64_t segment, int64_t head, void* memory) {
  using A = typename Accumulate<T>::type;
  const int64_t first = p.offsets[segment], rows = p.offsets[segment + 1] - first, size = p.size;
  const int64_t width = rounded_up(size, kLanes<A>), across = p.heads * size;
  Scratch scratch{static_cast<char*>(memory)};
  const Buffers<A> at(scratch, rows, width);
  const Relative<A> terms = relative_of<T>(p, head, rows, scratch);
  const bool begun = p.bias || p.relative;
  const T* q = static_cast<const T*>(p.qkv) + first * 3 * across + head * size;
  T* out = static_cast<T*>(p.out) + first * across + head * size;
  A* lse = static_cast<A*>(p.lse) + head * p.rows + first;
  const A* bias = p.bias ? static_cast<const A*>(p.bias) + head * p.side * p.side : nullptr;
  pack(q + across, 3 * across, rows, size, A(1), rows, width, at.k);
  pack(q + 2 * across, 3 * across, rows, size, A(1), rows, width, at.v);

  for (int64_t t = 0; t < rows; t += kPanel<A>) {
    const int64_t queries = rows - t < kPanel<A> ? rows - t : kPanel<A>;
    pack(q + t * 3 * across, 3 * across, queries, size, static_cast<A>(p.scale), kPanel<A>, width, at.q);
    transpose_panel(at.q, width, at.turned);
    const Vector<A> least = Vector<A>{} - static_cast<A>(__builtin_inf());
    Softmax<A> softmax{{least, least}, {}};
    const int64_t from = t > p.before ? t - p.before : 0;
    const int64_t stop = rows - t - queries > p.after ? t + queries + p.after : rows;
    for (int64_t u = from; u < stop; u += kKeys) {
      const int64_t keys = stop - u < kKeys ? stop - u : kKeys;
      A factor[kPanel<A>];
      if (begun) turn_bias(bias ? bias + t * p.side + u : nullptr, p.side, queries, keys, at.map);
      if (p.relative) terms.add(at.q, t, queries, at.k + u * width, u, keys, at.map, 1, kPanel<A>);
      const Product<A> logits{at.k + u * width, width, 1, at.turned, kPanel<A>, size, at.map, kPanel<A>, begun};
      product(logits, keys, queries);
      if (p.banded()) narrow(p, t, queries, u, keys, at.map);
      softmax.block(at.map, keys, queries, factor);
      for (int64_t i = 0; u > from && i < queries; ++i) {
#pragma omp simd
        for (int64_t e = 0; e < width; ++e) at.sum[i * width + e] *= factor[i];
      }
      const Product<A> values{at.map, 1, kPanel<A>, at.v + u * width, width, keys, at.sum, width, u > from};
      product(values, queries, width);
    }
    A most[kPanel<A>], total[kPanel<A>];
    for (int j = 0; j < 2; ++j) {
      store_vector(most + j * kLanes<A>, softmax.most[j]);
      store_vector(total + j * kLanes<A>, softmax.total[j]);
    }
    for (int64_t i = 0; i < queries; ++i) {
      unpack(at.sum + i * width, 1, size, 1 / total[i], width, out + (t + i) * across, across);
      lse[t + i] = most[i] + logarithm(total[i]);
    }
  }
}

}  // namespace

int64_t attention_forward_scratch(const AttentionForward& problem, int64_t longest) {
  return scratch_bytes<Buffers>(problem, longest);
}

void attention_forward_head(const AttentionForward& problem, int64_t segment, int64_t index, void* scratch) {
  with_type(problem.scalar, [&](auto zero) { head<decltype(zero)>(problem, segment, index, scratch); });
}

}  // namespace calig_fast::CALIG_ISA
