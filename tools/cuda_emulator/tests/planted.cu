// Kernels with one bug each, which the emulator or a sanitizer must find, and one without. A number goes to every
// thread's neighbour, and warps add up what they have.
//
// Usage: planted NAME SCHEDULE; exit status 0 means that nothing was found.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr int kThreads = 64;
constexpr unsigned kAll = ~0u;

__device__ float read(const float* p) {
  ::emulation::note_access(p, sizeof *p, true, false);
  return *p;
}

__device__ void write(float* p, float value) {
  ::emulation::note_access(p, sizeof *p, true, true);
  *p = value;
}

__device__ float warp_sum(float x) {
  for (int bits = 16; bits > 0; bits /= 2) x += __shfl_xor_sync(kAll, x, bits);
  return x;
}

__global__ void good(const float* in, float* out) {
  __shared__ float near[kThreads], sums[kThreads / 32];
  EMULATION_DYNAMIC_SHARED(float, all);
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  near[t] = read(in + at);
  __syncthreads();
  const float sum = warp_sum(near[(t + 1) % kThreads]);
  if (t % 32 == 0) sums[t / 32] = sum;
  all[t] = sum;
  __syncwarp();
  const float same = all[t ^ 1];
  __syncthreads();
  write(out + at, sums[0] + sums[1] + same);
}

__global__ void out_of_bounds(const float* in, float* out) {
  const int at = blockIdx.x * kThreads + threadIdx.x;
  write(out + at, read(in + at + 1));
}

__global__ void shared_out_of_bounds(const float* in, float* out) {
  __shared__ float near[kThreads];
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  near[t + (t == kThreads - 1)] = read(in + at);
  __syncthreads();
  write(out + at, near[t]);
}

__global__ void misaligned(const float* in, float* out) {
  const int t = threadIdx.x;
  const float4 four = *reinterpret_cast<const float4*>(in + (t ? 4 : 1));
  write(out + blockIdx.x * kThreads + t, four.x + four.w);
}

__global__ void missing_barrier(const float* in, float* out) {
  __shared__ float near[kThreads];
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  near[t] = read(in + at);
  write(out + at, near[(t + 32) % kThreads]);
}

// Lanes of a warp need a barrier too: since Volta they are not in step.
__global__ void missing_warp_barrier(const float* in, float* out) {
  __shared__ float near[kThreads];
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  near[t] = read(in + at);
  write(out + at, near[t ^ 1]);
}

// The second use of a shared array, without a barrier after the first.
__global__ void race_between_warps(const float* in, float* out) {
  __shared__ float sums[kThreads / 32];
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  float total = 0;
  for (int i = 0; i < 2; ++i) {
    const float sum = warp_sum(read(in + at) + i);
    if (t % 32 == 0) sums[t / 32] = sum;
    __syncthreads();
    total += sums[0] + sums[1];
  }
  write(out + at, total);
}

__global__ void divergent_barrier(const float* in, float* out) {
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  if (t < 32) {
    __syncthreads();
  } else {
    write(out + at, read(in + at));
    __syncthreads();
  }
}

__global__ void barrier_after_exit(const float* in, float* out) {
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  if (t == 40) return;
  __syncthreads();
  write(out + at, read(in + at));
}

__global__ void divergent_shuffle(const float* in, float* out) {
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  float x = read(in + at);
  if (t % 32 < 16) x += __shfl_xor_sync(kAll, x, 1);
  write(out + at, x);
}

__global__ void lane_not_there(const float* in, float* out) {
  const int t = threadIdx.x, at = blockIdx.x * kThreads + t;
  float x = read(in + at);
  if (t % 32 < 16) x = __shfl_sync(0xffff, x, 20);
  write(out + at, x);
}

__global__ void race_between_blocks(const float* in, float* out) {
  const int t = threadIdx.x;
  write(out + (blockIdx.x / 2) * kThreads + t, read(in + t));
}

struct Named {
  const char* name;
  void (*kernel)(const float*, float*);
};
constexpr Named kKernels[] = {{"good", good},
                              {"out_of_bounds", out_of_bounds},
                              {"shared_out_of_bounds", shared_out_of_bounds},
                              {"misaligned", misaligned},
                              {"missing_barrier", missing_barrier},
                              {"missing_warp_barrier", missing_warp_barrier},
                              {"race_between_warps", race_between_warps},
                              {"divergent_barrier", divergent_barrier},
                              {"barrier_after_exit", barrier_after_exit},
                              {"divergent_shuffle", divergent_shuffle},
                              {"lane_not_there", lane_not_there},
                              {"race_between_blocks", race_between_blocks}};

}  // namespace

int main(int argc, char** argv) {
  constexpr int kBlocks = 3, kCount = kBlocks * kThreads;
  if (argc != 3) return 2;
  const std::vector<float> in(kCount, 1);
  std::vector<float> out(kCount, 0);
  for (const Named& named : kKernels) {
    if (std::strcmp(named.name, argv[1]) != 0) continue;
    emulation::set_schedule(static_cast<emulation::Schedule>(std::atoi(argv[2])), 1);
    emulation::record_traffic(true);
    emulation::launch(named.kernel, dim3(kBlocks), dim3(kThreads), kThreads * sizeof(float), in.data(), out.data());
    if (const auto conflicts = emulation::traffic().conflicts) {
      std::fprintf(stderr, "conflict: %llu accesses\n", static_cast<unsigned long long>(conflicts));
      return 1;
    }
    return 0;
  }
  return 2;
}
