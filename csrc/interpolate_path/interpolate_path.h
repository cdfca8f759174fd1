// points[s] = start + a_s (end - start), segment after segment.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

struct InterpolatePath {
  Scalar scalar;
  const void* start;         // [tokens, width]
  const void* end;           // [tokens, width]
  void* points;              // [first_row[segments], width]
  int64_t width;             // D
  int64_t segments;          // S
  const int64_t* first_row;  // [S+1] row of `points` where a segment begins
  const int64_t* token;      // [S] first token of the segment's input
  const double* nodes;       // [S] a in [0,1]
};

// Writes rows [begin, end) of `points`; rows are independent of each other.
CALIG_DECLARE_PER_ISA(void interpolate_rows(const InterpolatePath& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
