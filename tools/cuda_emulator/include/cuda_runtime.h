// Stands where CUDA's header of this name would: kernel source compiled for the host includes it unchanged.
#pragma once

#include <math.h>  // not cmath: exp(float) is float on the device, and must be here

#include <cstdint>

#include "emulation/runtime.h"
#include "emulation/traffic.h"
#include "emulation/vectors.h"

#define EMULATION 1

using cudaError_t = int;
using cudaStream_t = void*;
inline constexpr cudaError_t cudaSuccess = 0, cudaErrorInvalidValue = 1;

// A launch that goes wrong aborts, so there is never an error to report.
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
