// Common parts of <op>_flat.h: the CUDA launchers with their arguments in flat arrays. Only the emulator of
// tools/kernel_checks compiles these files; the extension does not.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdlib>

#include "path_steps_cuda.h"

namespace calig_fast {

// An array whose ends AddressSanitizer guards; malloc gives it 16-byte alignment, which the kernels ask for.
template <typename T>
class Exact {
 public:
  explicit Exact(size_t count) : data_(static_cast<T*>(std::malloc(count * sizeof(T)))) {}
  ~Exact() { std::free(data_); }
  Exact(const Exact&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

inline const int64_t* int64s(void* p) {
  return static_cast<const int64_t*>(p);
}

// offsets, inputs, values; inputs, segments
inline cudaError_t make_steps(void** b, const int64_t* n, const Exact<int64_t>& begin, const Exact<PathStep>& steps) {
  return path_steps_cuda(
      {n[0], n[1], int64s(b[0]), int64s(b[1]), static_cast<const double*>(b[2]), begin.get(), steps.get()}, nullptr);
}

}  // namespace calig_fast
