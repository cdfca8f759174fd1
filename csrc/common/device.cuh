// What the CUDA kernels share: element types, packs of 16 bytes, global memory, and sums over warps and blocks.
// Kernels reach global memory through load and store alone, so that the emulator (tools/cuda_emulator/) can count what
// they do; a lane with nothing to do calls them too, with active = false.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "scalar.h"

namespace calig_fast {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <typename T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};
template <typename T>
using wide_t = typename Wide<T>::type;

__device__ __forceinline__ float widen(float x) {
  return x;
}
__device__ __forceinline__ double widen(double x) {
  return x;
}
__device__ __forceinline__ float widen(__half x) {
  return __half2float(x);
}
__device__ __forceinline__ float widen(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

template <typename T>
__device__ __forceinline__ T narrow(wide_t<T> x) {
  return x;
}
template <>
__device__ __forceinline__ __half narrow<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// N neighbours, accessed as one: 16 bytes, or a single element where rows do not start on 16 bytes.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T at[N];
};
template <typename T>
constexpr int kPack = 16 / sizeof(T);

// What an inactive lane gets is zero.
template <typename V>
__device__ __forceinline__ V load(const V* p, bool active = true) {
#if defined(EMULATION)
  ::emulation::note_access(p, sizeof(V), active, false);
#endif
  V value{};
  if (active) value = *p;
  return value;
}

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> load_pack(const void* base, int64_t at, bool active) {
  return load(reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(base) + at), active);
}

template <typename V>
__device__ __forceinline__ void store(V* p, const V& value, bool active = true) {
#if defined(EMULATION)
  ::emulation::note_access(p, sizeof(V), active, true);
#endif
  if (active) *p = value;
}

template <typename T, int N>
__device__ __forceinline__ void store_pack(void* base, int64_t at, const Pack<T, N>& value, bool active) {
  store(reinterpret_cast<Pack<T, N>*>(static_cast<T*>(base) + at), value, active);
}

template <typename T, int N>
__device__ __forceinline__ Pack<wide_t<T>, N> widened(const Pack<T, N>& pack) {
  Pack<wide_t<T>, N> out;
#pragma unroll
  for (int e = 0; e < N; ++e) out.at[e] = widen(pack.at[e]);
  return out;
}

// The same bits in every lane, whatever the schedule: the order of a butterfly's additions is fixed.
template <typename A>
__device__ __forceinline__ A warp_sum(A x) {
#pragma unroll
  for (int bits = kWarp / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}

// A nan anywhere is the maximum: comparisons alone would drop it.
template <typename A>
__device__ __forceinline__ A greater(A a, A b) {
  return b > a || b != b ? b : a;
}
template <typename A>
__device__ __forceinline__ A warp_max(A x) {
#pragma unroll
  for (int bits = kWarp / 2; bits > 0; bits /= 2) x = greater(x, __shfl_xor_sync(kAllLanes, x, bits));
  return x;
}

// The last b with offsets[b] <= token, which is the one that holds it: empty inputs come before.
__device__ __forceinline__ int64_t input_of(const int64_t* offsets, int64_t inputs, int64_t token) {
  int64_t low = 0, high = inputs;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (load(offsets + middle) <= token) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Host side. Launches, and says what the launch said; work that fails later is the next call's error, as always.
template <typename... Parameters>
cudaError_t launch_sharing(size_t shared_bytes, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                           cudaStream_t stream, std::common_type_t<Parameters>... arguments) {
#if defined(EMULATION)
  static_cast<void>(stream);
  ::emulation::launch(kernel, grid, block, shared_bytes, arguments...);
#else
  if (shared_bytes > 0) {
    const cudaError_t failed =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes));
    if (failed != cudaSuccess) return failed;
  }
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
#endif
  return cudaGetLastError();
}

template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream,
                   std::common_type_t<Parameters>... arguments) {
  return launch_sharing(0, kernel, grid, block, stream, arguments...);
}

inline bool on_16_bytes(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

// Calls f(T{}) for the element type.
template <typename F>
cudaError_t with_type(Scalar scalar, F f) {
  switch (scalar) {
    case Scalar::f32:
      return f(float{});
    case Scalar::f64:
      return f(double{});
    case Scalar::f16:
      return f(__half{});
    case Scalar::bf16:
      return f(__nv_bfloat16{});
  }
  return cudaErrorInvalidValue;
}

}  // namespace calig_fast
