#include "../common/simd.h"
#include "fuse_rollout.h"

namespace calig_fast::CALIG_ISA {
namespace {

inline float magnitude(float x) {
  return __builtin_fabsf(x);
}
inline double magnitude(double x) {
  return __builtin_fabs(x);
}

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

template <typename T>
void rows(const FuseRollout& p, int64_t begin, int64_t end, T* a, T* partial) {
  const int64_t n = p.tokens;
  const T* base = static_cast<const T*>(p.base);
  const T scale = static_cast<T>(p.scale), residual = static_cast<T>(p.residual);
  std::memset(partial, 0, n * sizeof(T));
  for (int64_t t = begin; t < end; ++t) {
    if (p.scale == 0) {
      std::memcpy(a, base, n * sizeof(T));
    } else {
      const T* map = static_cast<const T*>(p.attention) + t * n;
#pragma omp simd
      for (int64_t u = 0; u < n; ++u) a[u] = base[u] + scale * map[u];
    }
    a[t] += residual;
    T factor = 1;
    if (p.normalise) {
      T z = 0;
#pragma omp simd reduction(+ : z)
      for (int64_t u = 0; u < n; ++u) z += magnitude(a[u]);
      factor = z == 0 ? T(0) : T(1) / z;
    }
    const T weight = static_cast<const T*>(p.row)[t] * factor;
#pragma omp simd
    for (int64_t u = 0; u < n; ++u) partial[u] += weight * a[u];
    static_cast<T*>(p.identity_out)[t] = static_cast<const T*>(p.identity)[t] * residual * factor;
  }
}

}  // namespace

double sum_abs(Scalar scalar, const void* x, int64_t n) {
  return scalar == Scalar::f64 ? sum(static_cast<const double*>(x), n) : sum(static_cast<const float*>(x), n);
}

double max_abs(Scalar scalar, const void* x, int64_t n) {
  return scalar == Scalar::f64 ? maximum(static_cast<const double*>(x), n) : maximum(static_cast<const float*>(x), n);
}

void fuse_rows(const FuseRollout& problem, int64_t begin, int64_t end, void* scratch, void* partial) {
  if (problem.scalar == Scalar::f64)
    return rows<double>(problem, begin, end, static_cast<double*>(scratch), static_cast<double*>(partial));
  rows<float>(problem, begin, end, static_cast<float*>(scratch), static_cast<float*>(partial));
}

}  // namespace calig_fast::CALIG_ISA
