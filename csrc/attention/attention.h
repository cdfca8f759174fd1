// Self-attention of packed segments and its gradients, one head of one segment after another; no map in memory.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

struct Attention {
  Scalar scalar;
  int64_t rows, heads, size;  // R, H, E
  const int64_t* offsets;     // [segments + 1]
  double scale;
  const void* qkv;       // [R, 3, H, E]
  const void* bias;      // [H, N, N], added to the scaled logits, float32, or float64 for float64 rows; null for none
  int64_t side;          // N
  const void* relative;  // [2, H, span, E], row t - u + span / 2 of query t and key u, of their type; null for none
  int64_t span;
  // a query t attends to the keys from t - before to t + after alone
  int64_t before, after;

  bool banded() const { return before < rows || after < rows; }
};

struct AttentionForward : Attention {
  void* out;  // [R, H, E]
  void* lse;  // [H, R], float32, or float64 for float64 rows
};

struct AttentionBackward : Attention {
  const void* gradient;  // [R, H, E]
  const void* out;       // [R, H, E]
  const void* lse;       // [H, R], float32, or float64 for float64 rows, as is the next
  void* maps;            // [maps, longest, longest], zeros before
  int64_t longest;
  bool positive;
  void* dqkv;  // [R, 3, H, E]
};

// How many bytes of scratch, aligned to 64, a thread needs where no segment has more than `longest` rows.
CALIG_DECLARE_PER_ISA(int64_t attention_forward_scratch(const AttentionForward& problem, int64_t longest);
                      int64_t attention_backward_scratch(const AttentionBackward& problem, int64_t longest))

// Writes one head's columns of a segment's rows in each result.
CALIG_DECLARE_PER_ISA(void attention_forward_head(const AttentionForward& problem, int64_t segment, int64_t head,
                                                  void* scratch))

// Likewise; with `map`, adds the head's P (.) dP to the segment's.
CALIG_DECLARE_PER_ISA(void attention_backward_head(const AttentionBackward& problem, int64_t segment, int64_t head,
                                                   bool map, void* scratch))

}  // namespace calig_fast
