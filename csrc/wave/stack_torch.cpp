#include <string_view>

#include "stack.h"

namespace calig_fast {
namespace {

constexpr size_t kTensors = 14, kIntegers = 4, kReals = 3, kChoices = 4;

at::Tensor weight_of(const Optional& given, at::ScalarType type) {
  TORCH_CHECK(given && given->dim() == 2 && given->scalar_type() == type,
              "tensors: expected a weight of two axes, of one dtype in all blocks");
  return *given;
}

bool is_activation(std::string_view name) {
  return name == "gelu" || name == "gelu_tanh" || name == "relu" || name == "silu" || name == "quick_gelu" ||
         name == "relu_squared";
}

}  // namespace

Stack::Stack(const c10::List<Optional>& tensors, const std::vector<int64_t>& integers, const std::vector<double>& reals,
             const std::vector<std::string>& activations, const std::vector<int64_t>& choices) {
  const size_t count = activations.size();
  TORCH_CHECK(count > 0 && tensors.size() == count * kTensors && integers.size() == count * kIntegers &&
                  reals.size() == count * kReals,
              "activations: expected one a block, with ", kTensors, " tensors, ", kIntegers, " integers and ", kReals,
              " reals, got ", count, " with ", tensors.size(), ", ", integers.size(), " and ", reals.size());
  TORCH_CHECK(choices.size() == kChoices && choices[0] >= 0 && choices[0] <= static_cast<int64_t>(Products::ours),
              "choices: expected ", kChoices, ", the first from 0 to 2");
  const Optional first = tensors.get(0);
  TORCH_CHECK(first, "tensors: expected a weight first, got None");
  const at::ScalarType type = first->scalar_type();
  for (size_t b = 0; b < count; ++b) {
    const auto tensor = [&](size_t i) -> Optional { return tensors.get(b * kTensors + i); };
    const auto affine = [&](size_t i) { return Affine{weight_of(tensor(i), type), tensor(i + 1)}; };
    const int64_t* integer = integers.data() + b * kIntegers;
    const double* real = reals.data() + b * kReals;
    TORCH_CHECK(is_activation(activations[b]), "activations: unknown activation '", activations[b], "'");
    blocks.push_back(Block{affine(0), affine(2), affine(4), affine(6), Norm{tensor(8), tensor(9), real[1]},
                           Norm{tensor(10), tensor(11), real[2]}, tensor(12), tensor(13), activations[b], integer[0],
                           real[0], integer[1] != 0, integer[2] != 0, integer[3] != 0});
    const int64_t heads = integer[0], width = blocks.back().qkv.weight.size(0);
    TORCH_CHECK(heads > 0 && width % (3 * heads) == 0, "integers: expected a number of heads that divides ", width,
                " by 3, got ", heads);
  }
  products = static_cast<Products>(choices[0]);
  first_only = choices[1] != 0;
  linear = choices[2] != 0;
  maps_apart = choices[3] != 0;
}

}  // namespace calig_fast
