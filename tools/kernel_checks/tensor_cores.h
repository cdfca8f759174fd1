// The instructions of csrc/attention_gradient/tensor_cores.cuh by their definition in the PTX manual, for the emulator:
// which lane and register holds which element of ldmatrix.m8n8.x4, mma.m16n8k16 (16 bits) and mma.m16n8k8 (TF32).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#define CALIG_TENSOR_CORES 1

namespace calig_fast {

constexpr int kMostWarps = 32;

inline void load_matrices(unsigned (&words)[4], const void* row) {
  static const void* rows[kMostWarps][32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  rows[warp][lane] = row;
  __syncwarp();
  for (int m = 0; m < 4; ++m)
    std::memcpy(&words[m], static_cast<const char*>(rows[warp][m * 8 + lane / 4]) + lane % 4 * 4, 4);
  __syncwarp();
}

inline float element(unsigned word, int half, __half) {
  const uint16_t bits = static_cast<uint16_t>(word >> 16 * half);
  __half out;
  std::memcpy(&out, &bits, sizeof out);
  return __half2float(out);
}
inline float element(unsigned word, int half, __nv_bfloat16) {
  return __bfloat162float({static_cast<uint16_t>(word >> 16 * half)});
}
inline float element(unsigned word, int, float) {
  float out;
  std::memcpy(&out, &word, sizeof out);
  return out;
}

// A register holds 4 / sizeof(T) neighbours in depth; four lanes make up a unit of 16 bytes, two units the depth.
template <typename T>
void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, T tag) {
  struct Held {
    unsigned a[4], b[2];
  };
  static Held held[kMostWarps][32];
  constexpr int kNear = 4 / sizeof(T), kUnit = 4 * kNear;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  held[warp][lane] = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  __syncwarp();
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 2 * kUnit; ++k) {
      const int unit = k / kUnit, among = k % kUnit / kNear, half = k % kNear;
      const unsigned x = held[warp][row % 8 * 4 + among].a[row / 8 + 2 * unit];
      const unsigned y = held[warp][column * 4 + among].b[unit];
      c[i] += element(x, half, tag) * element(y, half, tag);
    }
  }
  __syncwarp();
}

inline void round_words(unsigned (&words)[4]) {
  for (unsigned& word : words) word = (word + 0x1000u) & ~0x1fffu;
}

}  // namespace calig_fast
