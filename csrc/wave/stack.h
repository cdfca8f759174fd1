// The blocks of a model as plain tensors, and the choices that the passes through them follow.
#pragma once

#include <torch/custom_class.h>

#include <cstdint>
#include <string>
#include <vector>

#include "operations.h"

namespace calig_fast {

struct Affine {
  at::Tensor weight;  // [out, in]
  Optional bias;      // [out]
};

struct Norm {
  Optional weight, bias;  // [D]
  double eps;
};

struct Block {
  Affine qkv, out, up, down;
  Norm norm1, norm2;
  Optional scale1, scale2;  // layer scale [D] of either branch
  std::string activation;
  int64_t heads;
  double scale;
  bool pre_norm, gated;
  bool torch_backward;  // relu: PyTorch's own kernel of the gradient
};

// The kernel of a product of rows with a weight: PyTorch's, the same in pieces of few sizes, or this library's.
enum class Products : int64_t { torch, tiles, ours };

struct Stack : torch::CustomClassHolder {
  std::vector<Block> blocks;
  Products products;
  bool first_only;  // the last block computes the first row of each segment alone
  bool linear;      // the first projection of a path is interpolated where it is linear
  bool maps_apart;  // attention maps have a kernel of their own

  // Of each block in order: 14 tensors, 4 whole numbers and 3 real ones, as `tensors`, `integers` and `reals` of
  // stack_torch.cpp read them, and its activation. `choices` are the four members above, in order.
  Stack(const c10::List<Optional>& tensors, const std::vector<int64_t>& integers, const std::vector<double>& reals,
        const std::vector<std::string>& activations, const std::vector<int64_t>& choices);

  int64_t depth() const { return static_cast<int64_t>(blocks.size()); }
  bool is_pooled(int64_t layer) const { return first_only && layer == depth() - 1; }
};

using StackPtr = c10::intrusive_ptr<Stack>;

}  // namespace calig_fast
