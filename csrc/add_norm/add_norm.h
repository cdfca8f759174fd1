// y = x + residual, and its layer norm (y - m) s w + b, with s = 1 / sqrt(var(y) + eps).
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

struct AddNorm {
  Scalar scalar;
  int64_t width;         // D
  double eps;            // added to the variance
  const void* x;         // [rows, D]
  const void* residual;  // [rows, D]
  const void* weight;    // [D], or null
  const void* bias;      // [D], or null
  void* out;             // [rows, D]
  void* total;           // [rows, D], y; mean and deviation are of what it was before it was rounded
  void* mean;            // [rows], float32, or float64 for float64 rows, as is the next
  void* deviation;       // [rows], reciprocal
};

// Writes rows [begin, end).
CALIG_DECLARE_PER_ISA(void add_norm_rows(const AddNorm& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
