// Stands where PyTorch's header of this name would, for the emulator: there is one stream.
#pragma once

#include <cuda_runtime.h>

namespace c10::cuda {

inline cudaStream_t getCurrentCUDAStream() {
  return nullptr;
}

}  // namespace c10::cuda
