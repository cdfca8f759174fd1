#include "../common/simd.h"
#include "fuse_rollout.h"

namespace calig_fast::CALIG_ISA {
namespace {

// Runs of 512 in T, the runs in double: a whole map of float32 loses nothing.
template <typename T>
double sum(const T* x, int64_t n) {
  constexpr int64_t kRun = 512;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = begin + kRun < n ? begin + kRun : n;
    T run = 0;
#pragma omp simd reduction(+ : run)
    for (int64_t i = begin; i < end; ++i) run += magnitude(x[i]);
    total += static_cast<double>(run);
  }
  return total;
}

template <typename T>
double maximum(const T* x, int64_t n) {
  T most = 0;
  T poison = 0;  // a nan anywhere is a nan here: comparisons would drop it
#pragma omp simd reduction(max : most) reduction(+ : poison)
  for (int64_t i = 0; i < n; ++i) {
    const T value = magnitude(x[i]);
    most = value > most ? value : most;
    poison += value != value ? value : T(0);
  }
  return static_cast<double>(most + poison);
}

// M[t,u] for one t; without the attention part the map is never read.
template <typename T, bool kMap>
struct Row {
  const T* base;
  const T* map;
  T scale;
  T operator[](int64_t u) const {
    if constexpr (kMap) return base[u] + scale * map[u];
    return base[u];
  }
};

// sum_u |A[t,u]|, in runs as above. The residual is picked by a comparison, in int so that it stays in vector
// registers.
template <typename T, bool kMap>
T sum_row(Row<T, kMap> m, T residual, int t, int n) {
  constexpr int kRun = 64;
  double total = 0;
  for (int begin = 0; begin < n; begin += kRun) {
    const int end = begin + kRun < n ? begin + kRun : n;
    T run = 0;
#pragma omp simd reduction(+ : run)
    for (int u = begin; u < end; ++u) run += magnitude(m[u] + (u == t ? residual : T(0)));
    total += static_cast<double>(run);
  }
  return static_cast<T>(total);
}

template <typename T, bool kMap>
void rows(const FuseRollout& p, int64_t begin, int64_t end, T* partial) {
  const int64_t n = p.tokens;
  const T residual = static_cast<T>(p.residual);
  std::memset(partial, 0, n * sizeof(T));
  for (int64_t t = begin; t < end; ++t) {
    const T* map = kMap ? static_cast<const T*>(p.attention) + t * n : nullptr;
    const Row<T, kMap> m{static_cast<const T*>(p.base), map, static_cast<T>(p.scale)};
    T factor = 1;
    if (p.normalise) {
      const T z = sum_row(m, residual, static_cast<int>(t), static_cast<int>(n));
      factor = z == 0 ? T(0) : T(1) / z;
    }
    const T weight = static_cast<const T*>(p.row)[t] * factor;
#pragma omp simd
    for (int64_t u = 0; u < n; ++u) partial[u] += weight * m[u];
    partial[t] += weight * residual;
    static_cast<T*>(p.identity_out)[t] = static_cast<const T*>(p.identity)[t] * residual * factor;
  }
}

template <typename T>
void rows(const FuseRollout& p, int64_t begin, int64_t end, void* partial) {
  if (p.scale == 0) return rows<T, false>(p, begin, end, static_cast<T*>(partial));
  rows<T, true>(p, begin, end, static_cast<T*>(partial));
}

}  // namespace

double sum_abs(Scalar scalar, const void* x, int64_t n) {
  return scalar == Scalar::f64 ? sum(static_cast<const double*>(x), n) : sum(static_cast<const float*>(x), n);
}

double max_abs(Scalar scalar, const void* x, int64_t n) {
  return scalar == Scalar::f64 ? maximum(static_cast<const double*>(x), n) : maximum(static_cast<const float*>(x), n);
}

void fuse_rows(const FuseRollout& problem, int64_t begin, int64_t end, void* partial) {
  if (problem.scalar == Scalar::f64) return rows<double>(problem, begin, end, partial);
  rows<float>(problem, begin, end, partial);
}

}  // namespace calig_fast::CALIG_ISA
