// Stands where PyTorch's header of this name would, for the emulator.
#pragma once

#include <c10/util/Exception.h>

#include "CUDAStream.h"

#define C10_CUDA_CHECK(launched) TORCH_CHECK((launched) == cudaSuccess, "a launcher failed")
