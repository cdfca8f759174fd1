// What every op's glue asks of its tensors.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <vector>

#include "scalar.h"

namespace calig_fast {

inline Scalar scalar_of(const at::Tensor& tensor, const char* name) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Scalar::f32;
    case at::kDouble:
      return Scalar::f64;
    case at::kBFloat16:
      return Scalar::bf16;
    case at::kHalf:
      if (tensor.is_cuda()) return Scalar::f16;
      [[fallthrough]];
    default:
      TORCH_CHECK(false, name, ": expected float32, float64, bfloat16 or, on a GPU, float16, got ",
                  tensor.scalar_type());
  }
}

// A 1-d tensor of numbers (path nodes, weights) as doubles; it has one entry a segment, so the copy is nothing.
inline std::vector<double> doubles(const at::Tensor& tensor, const char* name, int64_t count) {
  TORCH_CHECK(tensor.dim() == 1 && tensor.numel() == count, name, ": expected [", count, "], got ", tensor.sizes());
  const at::Tensor wide = tensor.to(at::kDouble).contiguous();
  const double* data = wide.const_data_ptr<double>();
  return std::vector<double>(data, data + count);
}

}  // namespace calig_fast
