// The input gradient of a layer norm: s (g w - mean(g w) - x' mean(g w x')) + residual, with x' = (x - mean) s; and of
// an RMS norm, s (g w - x' mean(g w x')) + residual, with x' = x s.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

struct NormBackward {
  Scalar scalar;
  int64_t width;          // D
  const void* gradient;   // [rows, D]
  const void* x;          // [rows, D]
  const void* mean;       // [rows], float32, or float64 for float64 gradients, as is the next; null for an RMS norm
  const void* deviation;  // [rows], reciprocal
  const void* weight;     // [D], or null
  const void* residual;   // [rows, D], or null
  void* out;              // [rows, D]
};

// Writes rows [begin, end).
CALIG_DECLARE_PER_ISA(void norm_backward_rows(const NormBackward& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
