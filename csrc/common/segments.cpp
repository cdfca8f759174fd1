#include "segments.h"

#include <c10/util/Exception.h>

namespace calig_fast {
namespace {

std::vector<int64_t> copied(const at::Tensor& tensor, const char* name) {
  check_numbers(tensor, name, at::kCPU);
  const at::Tensor packed = tensor.contiguous();
  const int64_t* data = packed.const_data_ptr<int64_t>();
  return std::vector<int64_t>(data, data + packed.numel());
}

}  // namespace

void check_numbers(const at::Tensor& tensor, const char* name, at::Device device) {
  TORCH_CHECK(tensor.dim() == 1 && tensor.scalar_type() == at::kLong && tensor.device() == device, name,
              ": expected a 1-d int64 tensor on ", device, ", got ", tensor.sizes(), " ", tensor.scalar_type(), " on ",
              tensor.device());
}

std::vector<int64_t> checked_offsets(const at::Tensor& offsets, int64_t tokens) {
  std::vector<int64_t> out = copied(offsets, "offsets");
  TORCH_CHECK(!out.empty() && out.front() == 0 && out.back() == tokens,
              "offsets: must start at 0 and end at the number of tokens, ", tokens);
  for (size_t b = 1; b < out.size(); ++b) TORCH_CHECK(out[b] >= out[b - 1], "offsets: must never fall");
  return out;
}

std::vector<int64_t> checked_inputs(const at::Tensor& inputs, int64_t count) {
  std::vector<int64_t> out = copied(inputs, "inputs");
  for (const int64_t b : out) TORCH_CHECK(b >= 0 && b < count, "inputs: ", b, " names no input, there are ", count);
  return out;
}

std::vector<int64_t> first_rows(const std::vector<int64_t>& offsets, const std::vector<int64_t>& inputs) {
  std::vector<int64_t> first(inputs.size() + 1, 0);
  for (size_t s = 0; s < inputs.size(); ++s) first[s + 1] = first[s] + offsets[inputs[s] + 1] - offsets[inputs[s]];
  return first;
}

SegmentsOfInput segments_of_input(const std::vector<int64_t>& inputs, int64_t count) {
  SegmentsOfInput out{std::vector<int64_t>(count + 1, 0), std::vector<int64_t>(inputs.size())};
  for (const int64_t b : inputs) ++out.begin[b + 1];
  for (int64_t b = 0; b < count; ++b) out.begin[b + 1] += out.begin[b];
  std::vector<int64_t> next(out.begin.begin(), out.begin.end() - 1);
  for (size_t s = 0; s < inputs.size(); ++s) out.list[next[inputs[s]]++] = static_cast<int64_t>(s);
  return out;
}

}  // namespace calig_fast
