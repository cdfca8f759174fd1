// attention_gradient on a GPU: all pointers in the struct are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../common/scalar.h"

namespace calig_fast {

struct AttentionGradient {
  Scalar scalar;
  int64_t rows, heads, size;  // H heads of E columns
  int64_t segments, longest;
  double scale;
  bool positive;
  bool tf32;               // f32 alone: products of ten bits of mantissa, on tensor cores
  const void* gradient;    // [rows, H, E]
  const void* qkv;         // [rows, 3, H, E]
  const void* lse;         // [H, rows], f64 for f64, else f32
  const int64_t* offsets;  // [segments + 1]
  void* maps;              // [segments, longest, longest], the type of lse
  const void* bias;        // [H, side, side], added to the scaled logits, the type of lse; null for none
  int64_t side;
  const void* relative;  // [2, H, span, E], row t - u + span / 2 of query t and key u, the type of qkv; null for none
  int64_t span;
  int64_t before, after;  // a query t attends to the keys from t - before to t + after alone
};

cudaError_t attention_gradient_cuda(const AttentionGradient& problem, cudaStream_t stream);

}  // namespace calig_fast
