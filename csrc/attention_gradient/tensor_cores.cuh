// The three instructions that a product on tensor cores is made of. The emulator has none: where a test wants them, it
// defines CALIG_TENSOR_CORES and functions of these names beforehand.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#if !defined(EMULATION) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define CALIG_TENSOR_CORES 1

namespace calig_fast {

// Four matrices of eight rows of 16 bytes: lane l names row l % 8 of matrix l / 8, and gets word l % 4 of row l / 4 of
// each.
__device__ __forceinline__ void load_matrices(unsigned (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
}

// c += a b of 16 x 8, over the depth of two units.
#define CALIG_MMA(shape, type)                                \
  asm("mma.sync.aligned." shape ".row.col.f32." type "." type \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "             \
      "{%8, %9}, {%0, %1, %2, %3};"                           \
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])        \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, __half) {
  CALIG_MMA("m16n8k16", "f16");
}
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                         __nv_bfloat16) {
  CALIG_MMA("m16n8k16", "bf16");
}
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, float) {
  CALIG_MMA("m16n8k8", "tf32");
}
#undef CALIG_MMA

// To the nearest number of TF32, which the instruction would else cut off.
__device__ __forceinline__ void round_words(unsigned (&words)[4]) {
#pragma unroll
  for (unsigned& word : words) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(__uint_as_float(word)));
}

}  // namespace calig_fast
#endif
