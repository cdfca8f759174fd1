// phi[row] = sum_k <gradients_k[row], directions_k[token]>, and its weighted sums over the path.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

constexpr int kMaxPairs = 2;

struct AccumulateGradients {
  Scalar scalar;
  int pairs;                          // K
  const void* gradients[kMaxPairs];   // [rows, width[k]]
  const void* directions[kMaxPairs];  // [tokens, width[k]]
  int64_t width[kMaxPairs];           // D_k
  int64_t inputs;                     // B
  const int64_t* offsets;             // [B+1]
  const int64_t* segments_begin;      // [B+1] into `segments`
  const int64_t* segments;            // [S] segments grouped by input
  const int64_t* first_row;           // [S+1] row where a segment begins
  const double* weights;              // [S]
  void* phi;                          // [rows]; float32, or float64 for float64 gradients, as are the next two
  void* r;                            // [tokens]
  void* lig;                          // [tokens, width[0]], or null
};

// Writes r, lig and the rows of phi of tokens [begin, end); tokens are independent of each other.
CALIG_DECLARE_PER_ISA(void accumulate_tokens(const AccumulateGradients& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
