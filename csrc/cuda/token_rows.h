// How a row of tokens is shared out: neighbouring tokens in chunks of 16 bytes, a chunk a lane in turn. The same for
// any alignment, so that a row's sum depends on its tokens and their number alone.
#pragma once

#include "cuda/element.h"
#include "cuda/tiers.h"
#include "mask.h"

namespace gapo::cuda {
namespace {

inline constexpr int kTokenThreads = 256;       // in a block
inline constexpr int kMostTokenThreads = 1024;  // in the block of a row that takes more lanes than that

template <typename E>
inline constexpr int kTokensPerChunk = 16 / sizeof(E);

// Chunks that a lane has on their way at once.
inline constexpr int kChunksAtOnce = 4;

// Lanes that share a row: a power of two, at most a block; a warp or less where it has up to two batches of chunks a
// lane. However few the rows, a row of up to 2 * 4 * 1,024 chunks is waited for twice.
GAPO_HD constexpr int lanes_for(int64_t length, int tokens_per_chunk) {
  const int64_t chunks = divide_up(length, tokens_per_chunk);
  int lanes = 1;
  while (lanes < kWarp && lanes < chunks) lanes *= 2;
  while (lanes < kMostTokenThreads && lanes * 2 * kChunksAtOnce < chunks) lanes *= 2;
  return lanes;
}

// Values begin .. begin + kCount of a row, zeros beyond its end. whole: chunks lie at their alignment, and rows end
// with one.
template <int kCount, typename V>
GAPO_DEVICE Chunk<V, kCount> load_tokens(const V* row, int64_t begin, int64_t length, bool whole) {
  if (whole) return *reinterpret_cast<const Chunk<V, kCount>*>(row + begin);
  Chunk<V, kCount> chunk;
#pragma unroll
  for (int i = 0; i < kCount; ++i) chunk.value[i] = begin + i < length ? row[begin + i] : V(0);
  return chunk;
}

// 16 bytes at their alignment, past the L1 cache (end_beside in enqueue.h).
template <int kCount, typename V>
GAPO_DEVICE Chunk<V, kCount> load_once(const V* values) {
  Chunk<V, kCount> chunk;
#if defined(__CUDA_ARCH__)
  uint4 words;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(__cvta_generic_to_global(values)));
  static_assert(sizeof(chunk) == sizeof(words));
  memcpy(&chunk, &words, sizeof(chunk));
#else
  chunk = load_tokens<kCount>(values, 0, kCount, true);
#endif
  return chunk;
}

// kWhole is known to the compiler: where it had to choose chunk by chunk, each load would be waited for.
template <bool kWhole, typename E>
GAPO_DEVICE double sum_chunks(const E* row, int64_t length, int lane, int lanes) {
  constexpr int n = kTokensPerChunk<E>;
  constexpr int batch = kChunksAtOnce;
  double sum = 0.0;
#pragma unroll 1
  for (int64_t first = int64_t{lane} * n; first < length; first += int64_t{batch} * n * lanes) {
    Chunk<E, n> chunks[batch];
#pragma unroll
    for (int b = 0; b < batch; ++b) {
      const int64_t begin = first + int64_t{b} * n * lanes;
      chunks[b] = {};
      if (begin < length) chunks[b] = kWhole ? load_once<n>(row + begin) : load_tokens<n>(row, begin, length, false);
    }
#pragma unroll
    for (int b = 0; b < batch; ++b) {
#pragma unroll
      for (int i = 0; i < n; ++i) sum += static_cast<double>(to_compute(chunks[b].value[i]));
    }
  }
  return sum;
}

// One lane's part of a row's sum.
template <typename E>
GAPO_DEVICE double lane_sum(const E* row, int64_t length, bool whole, int lane, int lanes) {
  return whole ? sum_chunks<true>(row, length, lane, lanes) : sum_chunks<false>(row, length, lane, lanes);
}

// 16 bytes to their alignment, in one store: left to itself, the compiler splits some into their values.
template <int kCount, typename V>
GAPO_DEVICE void store_once(const Chunk<V, kCount>& chunk, V* values) {
#if defined(__CUDA_ARCH__)
  uint4 words;
  static_assert(sizeof(chunk) == sizeof(words));
  memcpy(&words, &chunk, sizeof(chunk));
  __stwb(reinterpret_cast<uint4*>(values), words);
#else
  *reinterpret_cast<Chunk<V, kCount>*>(values) = chunk;
#endif
}

// kCount tokens at a time: a chunk, or one. Several masks are read before the first store, which would hold the next
// load back.
template <int kCount, typename E, typename T, typename Mask>
GAPO_DEVICE void write_chunks(T value, const Mask* mask, int64_t length, int lane, int lanes, E* out) {
  constexpr int most = 64 / static_cast<int>(sizeof(Chunk<Mask, kCount>)),
                batch = most < kChunksAtOnce ? most : kChunksAtOnce;
  static_assert(batch > 0);
  const int64_t stride = int64_t{kCount} * lanes;
#pragma unroll 1
  for (int64_t first = int64_t{kCount} * lane; first < length; first += batch * stride) {
    Chunk<Mask, kCount> masks[batch];
#pragma unroll
    for (int b = 0; b < batch; ++b) {
      const int64_t begin = first + b * stride;
      if (begin < length) masks[b] = load_tokens<kCount>(mask, begin, length, true);
    }
#pragma unroll
    for (int b = 0; b < batch; ++b) {
      const int64_t begin = first + b * stride;
      if (begin >= length) break;
      Chunk<E, kCount> chunk;
#pragma unroll
      for (int i = 0; i < kCount; ++i) chunk.value[i] = to_element<E>(masked(value, masks[b].value[i]));
      if constexpr (kCount == 1) {
        out[begin] = chunk.value[0];
      } else {
        store_once(chunk, out + begin);
      }
    }
  }
}

// One lane's part of a row.
template <typename E, typename T, typename Mask>
GAPO_DEVICE void write_tokens(T value, const Mask* mask, int64_t length, bool whole, int lane, int lanes, E* out) {
  if (whole) {
    write_chunks<kTokensPerChunk<E>>(value, mask, length, lane, lanes, out);
  } else {
    write_chunks<1>(value, mask, length, lane, lanes, out);
  }
}

}  // namespace
}  // namespace gapo::cuda
