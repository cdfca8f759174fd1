// Stands where PyTorch's header of this name would, for the emulator: there is one device, the CPU.
#pragma once

#include <c10/core/Device.h>

#include "CUDAStream.h"

namespace c10::cuda {

struct CUDAGuard {
  explicit CUDAGuard(c10::Device) {}
};

}  // namespace c10::cuda
