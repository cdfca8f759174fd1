// Registration of the passes through the blocks with PyTorch: one call each, on any device that has the operations.
#include <torch/library.h>

#include "paths.h"
#include "whole.h"

namespace calig_fast {

TORCH_LIBRARY_FRAGMENT(calig_fast, m) {
  m.class_<Stack>("Stack").def(torch::init<c10::List<Optional>, std::vector<int64_t>, std::vector<double>,
                                           std::vector<std::string>, std::vector<int64_t>>());
  m.class_<WaveState>("WaveState");
  m.class_<WholeState>("WholeState");
  m.def(
      "wave_up(__torch__.torch.classes.calig_fast.Stack stack, Tensor table, int[] layers, int[] lengths,"
      " Tensor offsets, Tensor[] low, Tensor[] high, Tensor[] qkv_low, Tensor[] qkv_high)"
      " -> (Tensor, Tensor, __torch__.torch.classes.calig_fast.WaveState)");
  m.def("wave_down(__torch__.torch.classes.calig_fast.WaveState state, Tensor g, bool free) -> Tensor");
  m.def(
      "whole_up(__torch__.torch.classes.calig_fast.Stack stack, Tensor x, Tensor offsets, int[] lengths)"
      " -> (Tensor, Tensor[], Tensor[], __torch__.torch.classes.calig_fast.WholeState)");
  m.def(
      "whole_down(__torch__.torch.classes.calig_fast.WholeState state, Tensor g, Tensor[] low, Tensor[] high,"
      " Tensor positions, int[] lengths, int tokens, str? kind, bool free) -> (Tensor, Tensor, Tensor, Tensor[])");
}

TORCH_LIBRARY_IMPL(calig_fast, CompositeExplicitAutograd, m) {
  m.impl("wave_up", &wave_up);
  m.impl("wave_down", &wave_down);
  m.impl("whole_up", &whole_up);
  m.impl("whole_down", &whole_down);
}

}  // namespace calig_fast
