// The map is computed again from the log-sums, a block of queries and keys at a time, and each block is used for all
// three gradients while it is in cache.
#include "../common/exponential.h"
#include "../common/product.h"
#include "attention.h"
#include "pack.h"
#include "relative.h"

namespace calig_fast::CALIG_ISA {
namespace {

constexpr int64_t kBlock = 128;          // queries and keys of a block: P and dS take 64 KiB each in float32
constexpr int64_t kStrip = 32;           // queries of which a panel of S and dP is in the first-level cache
constexpr int64_t kPitch = kBlock + 16;  // of a block's rows: at 128 they would meet in few sets of the cache

template <typename A>
struct Buffers {
  A *q, *k, *g;            // [rows, width], the first times the scale
  A *k_turned, *v_turned;  // their transposes, a panel after another
  A *dq, *dk, *dv;         // [rows, width]
  A* delta;                // [rows], sum_e g out
  A* v;                    // a panel's rows
  A *p, *ds;               // [kBlock, kPitch]

  Buffers(Scratch& scratch, int64_t rows, int64_t width) {
    const int64_t padded = rounded_up(rows, kPanel<A>);
    for (A** part : {&q, &k, &g, &k_turned, &v_turned, &dq, &dk, &dv}) *part = scratch.take<A>(padded * width);
    delta = scratch.take<A>(rows);
    v = scratch.take<A>(kPanel<A> * width);
    for (A** part : {&p, &ds}) *part = scratch.take<A>(kBlock * kPitch);
  }
};

// From rows of S and dP to rows of P and dS: P = exp(S - lse), dS = P (dP - delta), a panel wide.
template <typename A>
void differentiate(A* s, A* dp, int64_t rows, int64_t keys, const A* lse, const A* delta) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < keys; j += kLanes<A>) {
      const Vector<A> p = exponential(load_vector(s + j) - lse[i]);
      store_vector(s + j, p);
      store_vector(dp + j, p * (load_vector(dp + j) - delta[i]));
    }
    s += kPitch;
    dp += kPitch;
  }
}

// The same, and P (.) dP is added to the map.
template <typename A>
void differentiate(A* s, A* dp, int64_t rows, int64_t keys, const A* lse, const A* delta, A* map, int64_t longest,
                   bool positive) {
  for (int64_t i = 0; i < rows; ++i) {
    const A least = positive ? A(0) : static_cast<A>(-__builtin_inf());
#pragma omp simd
    for (int64_t j = 0; j < keys; ++j) {
      const A product = exponential(s[j] - lse[i]) * dp[j];
      map[j] += product < least ? least : product;
    }
    differentiate(s, dp, 1, keys, lse + i, delta + i);
    s += kPitch;
    dp += kPitch;
    map += longest;
  }
}

// Of some queries and keys, the bias; zeros beside the keys, and without a bias.
template <typename A>
void copy_bias(const A* bias, int64_t side, int64_t queries, int64_t keys, A* s) {
  const int64_t padded = rounded_up(keys, kPanel<A>);
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < padded; ++j) s[i * kPitch + j] = bias && j < keys ? bias[i * side + j] : A(0);
}

// Of rows of S, the logits outside of the band become so small that their exponentials are 0; `step` is the first key's
// place less the first query's.
template <typename A>
void narrow(const Attention& p, int64_t step, int64_t queries, int64_t keys, A* s) {
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < keys; ++j)
      if (step + j - i < -p.before || step + j - i > p.after) s[i * kPitch + j] = A(-1e30);
}

template <typename T>
struct Head {
  using A = typename Accumulate<T>::type;
  const AttentionBackward& problem;
  const int64_t first, rows, size, across, width;
  const A* lse;
  const A* bias;
  A* map;
  Buffers<A> at;
  Relative<A> terms;
  const bool begun;  // the logits begin with a bias or with relative terms

  Head(const AttentionBackward& p, int64_t segment, int64_t head, bool mapped, Scratch scratch)
      : problem(p),
        first(p.offsets[segment]),
        rows(p.offsets[segment + 1] - first),
        size(p.size),
        across(p.heads * size),
        width(rounded_up(size, kLanes<A>)),
        lse(static_cast<const A*>(p.lse) + head * p.rows + first),
        bias(p.bias ? static_cast<const A*>(p.bias) + head * p.side * p.side : nullptr),
        map(mapped ? static_cast<A*>(p.maps) + segment * p.longest * p.longest : nullptr),
        at(scratch, rows, width),
        terms(relative_of<T>(p, head, rows, scratch)),
        begun(p.bias || p.relative) {
    const int64_t padded = rounded_up(rows, kPanel<A>), stride = 3 * across;
    const int64_t begin = first * across + head * size;
    const T* q = static_cast<const T*>(p.qkv) + first * stride + head * size;
    const T* gradient = static_cast<const T*>(p.gradient) + begin;
    const T* out = static_cast<const T*>(p.out) + begin;
    pack(q, stride, rows, size, static_cast<A>(p.scale), rows, width, at.q);
    pack(q + across, stride, rows, size, A(1), padded, width, at.k);
    pack(gradient, across, rows, size, A(1), rows, width, at.g);
    for (int64_t u = 0; u < rows; u += kPanel<A>) {
      const int64_t keys = rows - u < kPanel<A> ? rows - u : kPanel<A>;
      pack(q + 2 * across + u * stride, stride, keys, size, A(1), kPanel<A>, width, at.v);
      transpose_panel(at.v, width, at.v_turned + u * width);
      transpose_panel(at.k + u * width, width, at.k_turned + u * width);
    }
    for (int64_t t = 0; t < rows; ++t) {
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t e = 0; e < size; ++e) sum += at.g[t * width + e] * load(out[t * across + e]);
      at.delta[t] = sum;
    }
  }

  // Whether some of these queries attend to some of these keys.
  bool meet(int64_t t, int64_t queries, int64_t u, int64_t keys) const {
    return u - (t + queries - 1) <= problem.after && t - (u + keys - 1) <= problem.before;
  }

  // P and dS of the queries from t on and the keys from u on.
  void block(int64_t t, int64_t queries, int64_t u, int64_t keys) const {
    if (begun) copy_bias(bias ? bias + t * problem.side + u : nullptr, problem.side, queries, keys, at.p);
    if (problem.relative) terms.add(at.q + t * width, t, queries, at.k + u * width, u, keys, at.p, kPitch, 1);
    for (int64_t i = 0; i < queries; i += kStrip) {
      const int64_t count = queries - i < kStrip ? queries - i : kStrip, row = t + i;
      for (int64_t j = 0; j < keys; j += kPanel<A>) {
        const int64_t columns = keys - j < kPanel<A> ? keys - j : kPanel<A>, column = (u + j) * width;
        A *s = at.p + i * kPitch + j, *dp = at.ds + i * kPitch + j;
        if (!meet(row, count, u + j, columns)) {
          for (int64_t n = 0; n < count; ++n)
            for (A* part : {s, dp}) std::memset(part + n * kPitch, 0, sizeof(A) * columns);
          continue;
        }
        const A *q = at.q + row * width, *g = at.g + row * width;
        product<A>({q, width, 1, at.k_turned + column, kPanel<A>, size, s, kPitch, begun}, count, columns);
        product<A>({g, width, 1, at.v_turned + column, kPanel<A>, size, dp, kPitch, false}, count, columns);
        if (problem.banded()) narrow(problem, u + j - row, count, columns, s);
        if (map) {
          differentiate(s, dp, count, columns, lse + row, at.delta + row, map + row * problem.longest + u + j,
                        problem.longest, problem.positive);
        } else {
          differentiate(s, dp, count, columns, lse + row, at.delta + row);
        }
      }
    }
  }

  void gradients() const {
    for (int64_t u = 0; u < rows; u += kBlock) {
      const int64_t keys = rows - u < kBlock ? rows - u : kBlock, key = u * width;
      bool more = false;  // queries that these keys have met
      for (int64_t t = 0; t < rows; t += kBlock) {
        const int64_t queries = rows - t < kBlock ? rows - t : kBlock, query = t * width;
        if (!meet(t, queries, u, keys)) continue;
        const bool met = u > 0 && meet(t, queries, u - kBlock, kBlock);  // keys that these queries have met
        block(t, queries, u, keys);
        product<A>({at.p, 1, kPitch, at.g + query, width, queries, at.dv + key, width, more}, keys, width);
        product<A>({at.ds, 1, kPitch, at.q + query, width, queries, at.dk + key, width, more}, keys, width);
        product<A>({at.ds, kPitch, 1, at.k + key, width, keys, at.dq + query, width, met}, queries, width);
        more = true;
        if (problem.relative) terms.backward(at.ds, kPitch, t, queries, u, keys, at.dq + query, at.dk + key);
      }
    }
  }

  void write(int64_t head) const {
    const int64_t stride = 3 * across;
    T* dqkv = static_cast<T*>(problem.dqkv) + first * stride + head * size;
    unpack(at.dq, rows, size, static_cast<A>(problem.scale), width, dqkv, stride);
    unpack(at.dk, rows, size, A(1), width, dqkv + across, stride);
    unpack(at.dv, rows, size, A(1), width, dqkv + 2 * across, stride);
  }
};

template <typename T>
void run(const AttentionBackward& problem, int64_t segment, int64_t index, bool map, void* memory) {
  const Head<T> head(problem, segment, index, map, Scratch{static_cast<char*>(memory)});
  head.gradients();
  head.write(index);
}

}  // namespace

int64_t attention_backward_scratch(const AttentionBackward& problem, int64_t longest) {
  return scratch_bytes<Buffers>(problem, longest);
}

void attention_backward_head(const AttentionBackward& problem, int64_t segment, int64_t head, bool map, void* scratch) {
  with_type(problem.scalar, [&](auto zero) { run<decltype(zero)>(problem, segment, head, map, scratch); });
}

}  // namespace calig_fast::CALIG_ISA
