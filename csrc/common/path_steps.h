// The path segments as the GPU's kernels read them: grouped by input, a place and a number each.
#pragma once

#include <cstdint>
#include <vector>

namespace calig_fast {

// One path segment, 16 bytes, so that one access brings it.
struct alignas(16) PathStep {
  int64_t row;   // where its rows begin
  double value;  // its node or weight
};

struct PathSteps {
  std::vector<int64_t> begin;   // [B+1]: steps[begin[b]] .. steps[begin[b+1]] are those of input b
  std::vector<PathStep> steps;  // [S]
  int64_t rows;                 // of all segments
};

// `offsets` [B+1] and `inputs` [S] as checked, `values` [S].
inline PathSteps path_steps(const int64_t* offsets, int64_t count, const int64_t* inputs, const double* values,
                            int64_t segments) {
  PathSteps out{std::vector<int64_t>(count + 1, 0), std::vector<PathStep>(segments), 0};
  for (int64_t s = 0; s < segments; ++s) ++out.begin[inputs[s] + 1];
  for (int64_t b = 0; b < count; ++b) out.begin[b + 1] += out.begin[b];
  std::vector<int64_t> next(out.begin.begin(), out.begin.end() - 1);
  for (int64_t s = 0; s < segments; ++s) {
    out.steps[next[inputs[s]]++] = {out.rows, values[s]};
    out.rows += offsets[inputs[s] + 1] - offsets[inputs[s]];
  }
  return out;
}

}  // namespace calig_fast
