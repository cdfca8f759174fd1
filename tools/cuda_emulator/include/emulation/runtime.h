// What a kernel sees of the machine: its place in the grid, barriers, shuffles and shared memory; and how the host
// launches it. The work is in src/scheduler.cpp, which is compiled without instrumentation, so that a sanitizer
// watches the kernel and not the machinery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "vectors.h"

namespace emulation {

enum class Schedule { forward, reverse, random };

// The order in which ready threads get the processor. Correct kernels give the same bits in every one.
void set_schedule(Schedule schedule, uint64_t seed);

// Runs body(context) once for every thread of the grid, block after block. Aborts, saying where, when a barrier is
// not reached by all threads that should reach it.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*), void* context);

struct Place {
  dim3 thread, block, block_size, grid_size;
};
const Place& place();
void* dynamic_shared();

void block_barrier(const char* file, int line);
void warp_barrier(unsigned mask, const char* file, int line);

// Hands `value` to the warp and returns what lane `source` handed over. It orders no memory, as on the device.
uint64_t exchange(unsigned mask, uint64_t value, unsigned source, const char* file, int line);
unsigned lane();

template <typename T>
T shuffle(unsigned mask, T value, unsigned source, const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t wide = 0;
  std::memcpy(&wide, &value, sizeof value);
  wide = exchange(mask, wide, source, file, line);
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// Launch parameters as <<<grid, block, shared_bytes>>> has them.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Arguments... arguments) {
  auto body = [&] { kernel(static_cast<Parameters>(arguments)...); };
  using Body = decltype(body);
  run_grid(grid, block, shared_bytes, [](void* context) { (*static_cast<Body*>(context))(); }, &body);
}

}  // namespace emulation

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
// Blocks run one after another, so one copy serves them all, and AddressSanitizer guards its ends.
#define __shared__ static
// extern __shared__ T name[], which a host compiler does not take.
#define EMULATION_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::emulation::dynamic_shared())

#define threadIdx (::emulation::place().thread)
#define blockIdx (::emulation::place().block)
#define blockDim (::emulation::place().block_size)
#define gridDim (::emulation::place().grid_size)
inline constexpr int warpSize = 32;

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::emulation::block_barrier(file, line);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::emulation::warp_barrier(mask, file, line);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  const unsigned base = ::emulation::lane() & ~(width - 1u);
  return ::emulation::shuffle(mask, value, base + (source & (width - 1)), file, line);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  const unsigned me = ::emulation::lane(), other = me ^ bits;
  return ::emulation::shuffle(mask, value, other / width <= me / width ? other : me, file, line);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const unsigned me = ::emulation::lane(), other = me + delta;
  return ::emulation::shuffle(mask, value, other / width == me / width ? other : me, file, line);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  const unsigned me = ::emulation::lane();
  return ::emulation::shuffle(mask, value, me % width >= delta ? me - delta : me, file, line);
}
