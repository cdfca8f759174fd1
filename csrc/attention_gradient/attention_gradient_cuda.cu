#include "../common/device.cuh"
#include "attention_gradient_cuda.h"
#include "tile_product.cuh"

namespace calig_fast {
namespace {

// Three shares of a tile are held: q k^T, g v^T and the sum over the heads; in float64 they take twice the registers.
template <typename A>
using TileOf = std::conditional_t<sizeof(A) == 8, TileShape<2, 1, 4>, TileShape<2, 2, 4>>;

enum class Terms { none, bias, relative };  // added to the logits; relative keys and queries may come with a bias

// Blocks that share a multiprocessor, whose registers they must fit into; terms take more.
template <typename A, Terms kTerms>
constexpr int kBlocks = kTerms == Terms::relative                 ? 1
                        : sizeof(A) == 8 || kTerms == Terms::bias ? 2
                                                                  : 3;

template <typename T>
constexpr int kDepth = kUnits * kPack<T>;  // columns of a head that are in shared memory at once

// Has what depends on x computed anew where it is used: kept in registers from head to head, it would spill.
__device__ __forceinline__ void forget(int& x) {
#if !defined(EMULATION)
  asm volatile("" : "+r"(x));
#else
  static_cast<void>(x);
#endif
}

// [kRows, kDepth] of a matrix of `stride` columns into shared memory; zeros beyond `rows` and `columns`.
template <typename T, int N, int kRows>
__device__ __forceinline__ void stage(Unit<T>* tile, const T* matrix, int stride, int rows, int columns) {
  constexpr int kAcross = kDepth<T> / N, kSteps = kRows * kAcross / kThreads,
                kBatch = N == 1 && kSteps > 8 ? 8 : kSteps;
  static_assert(kRows * kAcross % kThreads == 0 && kSteps % kBatch == 0);
  forget(stride);
  const auto piece = [&](int i) { return i * kThreads + static_cast<int>(threadIdx.x); };
#pragma unroll 1
  for (int from = 0; from < kSteps; from += kBatch) {
    Pack<T, N> found[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int row = piece(from + i) / kAcross, column = piece(from + i) % kAcross * N;
      found[i] = load_pack<T, N>(matrix, static_cast<int64_t>(row) * stride + column, row < rows && column < columns);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int row = piece(from + i) / kAcross, column = piece(from + i) % kAcross * N;
      *reinterpret_cast<Pack<T, N>*>(reinterpret_cast<T*>(tile + row * kStride) + column) = found[i];
    }
  }
}

// Writes a tile's part of the map: `value(row, column)` of the tile's rows and columns that the map has.
template <typename A, int N, typename Tile, typename Value>
__device__ __forceinline__ void write(A* map, int64_t longest, int64_t t0, int64_t u0, Value value) {
  constexpr int kAcross = Tile::kColumns / N;
#pragma unroll 4
  for (int i = threadIdx.x; i < Tile::kRows * kAcross; i += kThreads) {
    const int row = i / kAcross, column = i % kAcross * N;
    const int64_t t = t0 + row, u = u0 + column;
    store_pack<A, N>(map, t * longest + u, value(row, column), t < longest && u < longest);
  }
}

// <q, a> + <k, b> of a query and a key with their distance's row in the first table; zero where not `active`.
template <typename T, typename A = wide_t<T>>
__device__ __forceinline__ A relative_term(const T* q, const T* k, const T* row, int64_t table, int size, bool active) {
  A sum = 0;
#pragma unroll 1
  for (int e = 0; e < size; ++e) {
    sum += widen(load(q + e, active)) * widen(load(row + e, active));
    sum += widen(load(k + e, active)) * widen(load(row + table + e, active));
  }
  return sum;
}

// One block makes one tile of one segment's map, head after head, so that nothing is summed across blocks.
// kWide: heads begin on 16 bytes and are whole units wide; kWideMap: so do the map's rows;
// kTerms: what is added to the logits.
template <typename T, Precision kPrecision, bool kWide, bool kWideMap, Terms kTerms>
__global__ void __launch_bounds__(kThreads, kBlocks<wide_t<T>, kTerms>)
    make_tile(AttentionGradient p, int64_t tiles_down, int64_t tiles_across) {
  using A = wide_t<T>;
  using Tile = TileOf<A>;
  constexpr int N = kWide ? kPack<T> : 1, M = kWideMap ? kPack<A> : 1;
  constexpr int kA = Tile::kRows * kStride, kB = Tile::kColumns * kStride;
  // a row of the map's tile is one unit longer than it need be, for the banks' sake
  constexpr int kMapStride = Tile::kColumns + kPack<A>;
  static_assert(Tile::kRows * kMapStride * sizeof(A) <= 2 * (kA + kB) * sizeof(Unit<T>), "the map's tile comes last");
  __shared__ Unit<T> memory[2 * (kA + kB)];
  Unit<T>*const q = memory, *const g = q + kA, *const k = g + kA, *const v = k + kB;

  const int64_t segment = blockIdx.x / (tiles_down * tiles_across);
  const int64_t t0 = blockIdx.x / tiles_across % tiles_down * Tile::kRows;
  const int64_t u0 = blockIdx.x % tiles_across * Tile::kColumns;
  const int64_t first = load(p.offsets + segment), count = load(p.offsets + segment + 1) - first;
  A* const map = static_cast<A*>(p.maps) + segment * p.longest * p.longest;
  const auto outside = [&](int64_t step) { return step < -p.before || step > p.after; };
  // of the steps from a query of this tile to a key of it, the greatest and the least
  const bool apart = u0 + Tile::kColumns - 1 - t0 < -p.before || u0 - t0 - (Tile::kRows - 1) > p.after;
  if (t0 >= count || u0 >= count || apart) {
    write<A, M, Tile>(map, p.longest, t0, u0, [](int, int) { return Pack<A, M>{}; });
    return;
  }

  const int width = static_cast<int>(p.heads * p.size), size = static_cast<int>(p.size);
  const int rows = static_cast<int>(count - t0 < Tile::kRows ? count - t0 : Tile::kRows);
  const int columns = static_cast<int>(count - u0 < Tile::kColumns ? count - u0 : Tile::kColumns);
  const T* const at_g = static_cast<const T*>(p.gradient) + (first + t0) * width;
  const T* const at_q = static_cast<const T*>(p.qkv) + (first + t0) * 3 * width;
  const T* const at_k = static_cast<const T*>(p.qkv) + ((first + u0) * 3 + 1) * width;
  const A scale = static_cast<A>(p.scale);
  Share<A, Tile> sum{};
  const A* lse = static_cast<const A*>(p.lse) + first + t0;
  constexpr bool kBias = kTerms != Terms::none, kRelative = kTerms == Terms::relative;
  const A* bias = kBias && p.bias ? static_cast<const A*>(p.bias) + t0 * p.side + u0 : nullptr;
  int side = kBias ? static_cast<int>(p.side) : 0;
  const T* distances = kRelative ? static_cast<const T*>(p.relative) + (t0 - u0 + p.span / 2) * size : nullptr;
  for (int head = 0; head < width; head += size, lse += p.rows) {
    Share<A, Tile> logits{}, slopes{};
    for (int e = 0; e < size; e += kDepth<T>) {
      const int depth = size - e < kDepth<T> ? size - e : kDepth<T>, at = head + e;
      const int units = (depth + kPack<T> - 1) / kPack<T>;
      // A pair is overwritten after the barrier that follows the other pair: by then nobody multiplies it.
      stage<T, N, Tile::kRows>(q, at_q + at, 3 * width, rows, depth);
      stage<T, N, Tile::kColumns>(k, at_k + at, 3 * width, columns, depth);
      __syncthreads();
      tile_product<T, Tile, kPrecision>(q, k, units, logits);
      stage<T, N, Tile::kRows>(g, at_g + at, width, rows, depth);
      stage<T, N, Tile::kColumns>(v, at_k + width + at, 3 * width, columns, depth);
      __syncthreads();
      tile_product<T, Tile, kPrecision>(g, v, units, slopes);
    }
#pragma unroll
    for (int r = 0; r < 2 * Tile::kPiecesDown; ++r) {
      const int row = Tile::row(r / 2, r % 2 * 2);
      const A level = load(lse + row, row < rows);
      if constexpr (kBias) forget(side);
#pragma unroll
      for (int c = 0; c < 2 * Tile::kPiecesAcross; ++c) {
        const int m = r / 2, n = c / 2, i = r % 2 * 2 + c % 2;
        A logit = scale * logits.at[m][n][i];
        if constexpr (kRelative) {
          const int column = Tile::column(n, i);
          const T *const query = at_q + head + row * 3 * width, *const key = at_k + head + column * 3 * width;
          logit += scale * relative_term(query, key, distances + (row - column) * size, p.heads * p.span * size, size,
                                         row < rows && column < columns);
        }
        if constexpr (kBias) {
          const int column = Tile::column(n, i);
          logit += load(bias + row * side + column, (!kRelative || bias) && row < rows && column < columns);
        }
        const A found = exp(logit - level) * slopes.at[m][n][i];
        sum.at[m][n][i] += p.positive ? greater(A(0), found) : found;
      }
    }
    if (kBias && bias) bias += p.side * p.side;
    if constexpr (kRelative) distances += p.span * size;
  }

  A* const tile = reinterpret_cast<A*>(memory);
  const A heads = static_cast<A>(p.heads);
  __syncthreads();
#pragma unroll
  for (int m = 0; m < Tile::kPiecesDown; ++m)
#pragma unroll
    for (int n = 0; n < Tile::kPiecesAcross; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = Tile::row(m, i), column = Tile::column(n, i);
        // beyond the segment and the band exp may have been anything
        const bool inside = row < rows && column < columns && !outside(u0 + column - t0 - row);
        tile[row * kMapStride + column] = inside ? sum.at[m][n][i] / heads : A(0);
      }
  __syncthreads();
  write<A, M, Tile>(map, p.longest, t0, u0, [&](int row, int column) {
    return *reinterpret_cast<const Pack<A, M>*>(tile + row * kMapStride + column);
  });
}

template <typename T, Precision kPrecision>
cudaError_t run(const AttentionGradient& p, cudaStream_t stream) {
  using Tile = TileOf<wide_t<T>>;
  const int64_t down = (p.longest + Tile::kRows - 1) / Tile::kRows;
  const int64_t across = (p.longest + Tile::kColumns - 1) / Tile::kColumns;
  if (p.side > INT32_MAX / Tile::kRows) return cudaErrorInvalidValue;
  const bool wide = p.size % kPack<T> == 0 && on_16_bytes(p.gradient) && on_16_bytes(p.qkv);
  const bool wide_map = p.longest % kPack<wide_t<T>> == 0 && on_16_bytes(p.maps);
  constexpr Terms kNone = Terms::none, kBias = Terms::bias, kRelative = Terms::relative;
  auto kernel = wide ? make_tile<T, kPrecision, true, false, kNone> : make_tile<T, kPrecision, false, false, kNone>;
  if (wide_map)
    kernel = wide ? make_tile<T, kPrecision, true, true, kNone> : make_tile<T, kPrecision, false, true, kNone>;
  // one width of the map's writes will do: all heads' bias, which is read, is the larger part
  if (p.bias)
    kernel = wide ? make_tile<T, kPrecision, true, false, kBias> : make_tile<T, kPrecision, false, false, kBias>;
  if (p.relative) kernel = make_tile<T, kPrecision, false, false, kRelative>;
  return launch(kernel, dim3(static_cast<unsigned>(p.segments * down * across)), dim3(kThreads), stream, p, down,
                across);
}

}  // namespace

cudaError_t attention_gradient_cuda(const AttentionGradient& p, cudaStream_t stream) {
  if (p.segments == 0 || p.longest == 0) return cudaSuccess;
  if (3 * p.heads * p.size > INT32_MAX) return cudaErrorInvalidValue;
  return with_type(p.scalar, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, float>)
      if (p.tf32) return run<T, Precision::tf32>(p, stream);
    return run<T, Precision::exact>(p, stream);
  });
}

}  // namespace calig_fast
