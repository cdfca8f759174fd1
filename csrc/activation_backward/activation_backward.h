// The gradient of the rows before an activation: g f'(u), and of a gated one (g v f'(u), g f(u)).
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

enum class Activation { gelu, gelu_tanh, relu, silu, quick_gelu, relu_squared };

struct ActivationBackward {
  Scalar scalar;
  Activation kind;
  bool gated;
  int64_t width;         // I
  const void* gradient;  // [rows, I]
  const void* inner;     // [rows, I], gated [rows, 2I]: gate and value side by side
  void* out;             // shape of `inner`
};

// Writes rows [begin, end).
CALIG_DECLARE_PER_ISA(void activation_backward_rows(const ActivationBackward& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
