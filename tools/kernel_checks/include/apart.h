// Included before the glue of an operation: what it registers for CUDA goes to a key that is nobody's, so that it can
// be called with CPU tensors; what it registers for the CPU stays the compiled module's.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#undef TORCH_LIBRARY_IMPL
#define TORCH_LIBRARY_IMPL(ns, key, m) CALIG_APART_##key(ns, m)
#define CALIG_APART_CUDA(ns, m) _TORCH_LIBRARY_IMPL(ns, PrivateUse3, m, C10_UID)
#define CALIG_APART_CPU(ns, m) \
  template <typename>          \
  void not_registered(torch::Library& m)
