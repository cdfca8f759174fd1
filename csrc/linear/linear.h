// Rows times a layer's weight: x W^T + b + residual, or on the way back x W + b + residual.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

struct Linear {
  Scalar scalar;                  // f32 or f64
  int64_t rows, length, columns;  // R, K, N
  bool backward;
  const void* x;         // [R, K]
  const void* weight;    // [N, K], or on the way back [K, N]
  const void* bias;      // [N], or null
  const void* residual;  // [R, N], or null
  void* out;             // [R, N]
};

// A panel is as many columns of a block of rows as are computed at a time.
CALIG_DECLARE_PER_ISA(int64_t linear_panels(const Linear& problem);
                      // Writes panels [begin, end).
                      void linear_write(const Linear& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
