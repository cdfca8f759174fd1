// points[s] = start + a_s (end - start), segment after segment.
#pragma once

#include <cstdint>

#include "../common/isa.h"
#include "../common/scalar.h"

namespace calig_fast {

struct InterpolatePath {
  Scalar scalar, out;             // of the ends, and of the points: the same, or 16 bits where that is float32
  const void* start;              // [tokens, width]
  const void* end;                // [tokens, width]
  void* points;                   // [first_row[S], width]
  int64_t width;                  // D
  const int64_t* offsets;         // [B+1]
  const int64_t* segments_begin;  // [B+1] into `segments`
  const int64_t* segments;        // [S] segments grouped by input
  const int64_t* first_row;       // [S+1] row of `points` where a segment begins
  const double* nodes;            // [S] a in [0,1]
};

// Writes the points of tokens [begin, end) in every segment of their inputs; tokens are independent of each other.
CALIG_DECLARE_PER_ISA(void interpolate_tokens(const InterpolatePath& problem, int64_t begin, int64_t end))

}  // namespace calig_fast
