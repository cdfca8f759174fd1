// The packed layout: inputs of offsets[b+1] - offsets[b] tokens each, and path segments that name an input.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace calig_fast {

// Checks that a tensor is 1-d int64 on `device`.
void check_numbers(const at::Tensor& tensor, const char* name, at::Device device);

// Copies a 1-d int64 CPU tensor and checks that it starts at 0, never falls and ends at `tokens`.
std::vector<int64_t> checked_offsets(const at::Tensor& offsets, int64_t tokens);

// Copies the [S] input numbers and checks that each lies in [0, count).
std::vector<int64_t> checked_inputs(const at::Tensor& inputs, int64_t count);

// first[s] is the row where segment s begins, first[S] the number of rows.
std::vector<int64_t> first_rows(const std::vector<int64_t>& offsets, const std::vector<int64_t>& inputs);

// Segments by the input they belong to, in rising order: list[begin[b]] .. list[begin[b+1]-1].
struct SegmentsOfInput {
  std::vector<int64_t> begin, list;
};
SegmentsOfInput segments_of_input(const std::vector<int64_t>& inputs, int64_t count);

}  // namespace calig_fast
