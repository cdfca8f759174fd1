// One layer of the rollout: scale, add the residual, normalise the rows, multiply by the running row.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

enum class RolloutScale { none, sum, max, max_t };

constexpr int64_t kRolloutRows = 32;  // rows of the map that one partial sum covers, whatever the thread count

// One input of T tokens: M[t,u] = base[u] + scale * attention[t,u], A = residual I + M.
struct FuseRollout {
  Scalar scalar;          // f32 or f64
  int64_t tokens;         // T
  const void* base;       // [T] lam * scaled relevance
  const void* attention;  // [T, T], read only where scale is not 0
  double scale;           // (1 - lam) / denominator of the attention
  const void* row;        // [T]
  const void* identity;   // [T]
  double residual;
  bool normalise;
  void* identity_out;  // [T]
};

// Sum or maximum of |x[i]|, i in [0, n).
CALIG_DECLARE_PER_ISA(double sum_abs(Scalar scalar, const void* x, int64_t n);
                      double max_abs(Scalar scalar, const void* x, int64_t n))

// Rows [begin, end) of one input: partial[u] = sum_t row[t]/Z[t] A[t,u] (T elements), and identity_out[t].
CALIG_DECLARE_PER_ISA(void fuse_rows(const FuseRollout& problem, int64_t begin, int64_t end, void* partial))

}  // namespace calig_fast
