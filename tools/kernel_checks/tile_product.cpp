// Both twins of tile_product on the same tiles: numbers so small that every sum is exact, so they must be the same.
//
// Usage: tile_product SCHEDULE; exit status 0 means that they are.
#include <cstdio>
#include <cstdlib>
#include <vector>

// clang-format off: the first makes the second believe that there are tensor cores
#include "tensor_cores.h"
#include "../../csrc/attention_gradient/tile_product.cuh"
// clang-format on

namespace {

using namespace calig_fast;

template <typename T, typename Tile>
__global__ void both(const Unit<T>* a, const Unit<T>* b, int units, float* by_fma, float* by_mma) {
  __shared__ Unit<T> x[Tile::kRows * kStride], y[Tile::kColumns * kStride];
  for (int i = threadIdx.x; i < Tile::kRows * kStride; i += kThreads) x[i] = a[i];
  for (int i = threadIdx.x; i < Tile::kColumns * kStride; i += kThreads) y[i] = b[i];
  __syncthreads();
  Share<float, Tile> fma{}, mma{};
  fma_product<T, Tile>(x, y, units, fma);
  mma_product<T, Tile>(x, y, units, mma);
  for (int m = 0; m < Tile::kPiecesDown; ++m)
    for (int n = 0; n < Tile::kPiecesAcross; ++n)
      for (int i = 0; i < 4; ++i) {
        const int at = Tile::row(m, i) * Tile::kColumns + Tile::column(n, i);
        by_fma[at] = fma.at[m][n][i];
        by_mma[at] = mma.at[m][n][i];
      }
}

// Whole numbers from -128 to 127, zeros from unit `units` on, which the tensor cores may read.
template <typename T>
std::vector<Unit<T>> numbers(int rows, int units, unsigned seed) {
  std::vector<Unit<T>> out(rows * kStride);
  for (int i = 0; i < rows * kStride; ++i)
    for (int e = 0; e < kPack<T>; ++e) {
      seed = seed * 1664525u + 1013904223u;
      out[i].at[e] = narrow<T>(i % kStride < units ? static_cast<float>(seed >> 24) - 128 : 0);
    }
  return out;
}

template <typename T, typename Tile>
int compare(const char* name) {
  for (int units = 1; units <= kUnits; ++units) {
    const auto a = numbers<T>(Tile::kRows, units, 1), b = numbers<T>(Tile::kColumns, units, 2);
    std::vector<float> by_fma(Tile::kRows * Tile::kColumns), by_mma = by_fma, truth = by_fma;
    emulation::launch(both<T, Tile>, dim3(1), dim3(kThreads), 0, a.data(), b.data(), units, by_fma.data(),
                      by_mma.data());
    for (int t = 0; t < Tile::kRows; ++t)
      for (int u = 0; u < Tile::kColumns; ++u)
        for (int i = 0; i < units; ++i)
          for (int e = 0; e < kPack<T>; ++e)
            truth[t * Tile::kColumns + u] += widen(a[t * kStride + i].at[e]) * widen(b[u * kStride + i].at[e]);
    if (by_fma != truth || by_mma != truth) {
      std::fprintf(stderr, "%s, %d units: %s wrong\n", name, units, by_fma != truth ? "fma" : "mma");
      return 1;
    }
  }
  return 0;
}

template <typename Tile>
int compare_all() {
  return compare<__half, Tile>("float16") || compare<__nv_bfloat16, Tile>("bfloat16") || compare<float, Tile>("tf32");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  emulation::set_schedule(static_cast<emulation::Schedule>(std::atoi(argv[1])), 1);
  return compare_all<TileShape<2, 2, 4>>() || compare_all<TileShape<2, 1, 4>>() || compare_all<TileShape<4, 1, 2>>();
}
