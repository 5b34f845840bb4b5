// The two passes of the token-level step: sum the rows, write the broadcast. Both are bound by memory bandwidth.
#pragma once

#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace gapo {
namespace {

inline constexpr int64_t kTokenGrain = 65536;                // tokens a task should at least have
inline constexpr int64_t kStreamedBytes = int64_t{4} << 20;  // an output larger than this is written past the caches

inline int64_t row_grain(int64_t length) { return kTokenGrain / (length > 0 ? length : 1) + 1; }

template <typename T>
void row_sums(const T* tokens, int64_t rows, int64_t length, T* sums, ParallelFor parallel_for) {
  parallel_for(rows, row_grain(length), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      sums[row] = static_cast<T>(striped_sum(tokens + row * length, length, [](auto x) { return x; }));
    }
  });
}

// kLanes<T> mask values as T. Bytes, which hold most masks, have their own: GCC 12 converts them one by one.
template <typename T, typename Mask>
GAPO_INLINE Vec<T> load_mask(const Mask* mask) {
  typedef Mask Masks __attribute__((vector_size(kLanes<T> * sizeof(Mask)), aligned(sizeof(Mask)), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Masks*>(mask), Vec<T>);
}
#if GAPO_VECTOR_BYTES == 64
template <>
GAPO_INLINE Vec<float> load_mask<float>(const uint8_t* mask) {
  return (Vec<float>)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(mask))));
}
template <>
GAPO_INLINE Vec<double> load_mask<double>(const uint8_t* mask) {
  return (Vec<double>)_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadu_si64(mask)));
}
#elif GAPO_VECTOR_BYTES == 32
template <>
GAPO_INLINE Vec<float> load_mask<float>(const uint8_t* mask) {
  return (Vec<float>)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(mask)));
}
#endif

// The same for kLanes<T> tokens, in vectors: a compiler makes branches of a loop over masked().
template <typename T, typename Mask>
GAPO_INLINE Vec<T> masked_lanes(T value, const Mask* mask) {
  const Vec<T> factor = load_mask<T>(mask);
  return factor == 0 ? Vec<T>{} : value * factor;
}

template <typename T>
GAPO_INLINE void stream(T* aligned, Vec<T> v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, reinterpret_cast<Vec<T>*>(aligned));
#elif GAPO_VECTOR_BYTES == 64
  _mm512_stream_si512(reinterpret_cast<__m512i*>(aligned), (__m512i)v);
#elif GAPO_VECTOR_BYTES == 32
  _mm256_stream_si256(reinterpret_cast<__m256i*>(aligned), (__m256i)v);
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(aligned), (__m128i)v);
#else
  store(aligned, v);
#endif
}

// Streamed stores are not ordered with the others: a fence before another thread may read what was written.
inline void finish_stream() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <typename T, typename Mask>
void write_row(T value, const Mask* mask, int64_t length, bool streamed, T* out) {
  int64_t t = 0;
  if (streamed) {
    while (t < length && reinterpret_cast<std::uintptr_t>(out + t) % kVectorBytes != 0) {
      out[t] = masked(value, mask[t]);
      ++t;
    }
    for (; t + kLanes<T> <= length; t += kLanes<T>) {
      stream(out + t, masked_lanes(value, mask + t));
    }
  }
  for (; t < length; ++t) out[t] = masked(value, mask[t]);
}

template <typename T, typename Mask>
void broadcast_rows(const T* values, const Mask* mask, int64_t rows, int64_t length, T* out, ParallelFor parallel_for) {
  const bool streamed = rows * length * static_cast<int64_t>(sizeof(T)) > kStreamedBytes;
  parallel_for(rows, row_grain(length), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      write_row(values[row], mask + row * length, length, streamed, out + row * length);
    }
    if (streamed) finish_stream();
  });
}

template <typename T>
void broadcast(const T* values, const void* mask, MaskType type, int64_t rows, int64_t length, T* out,
               ParallelFor parallel_for) {
  with_mask(mask, type, [&](auto* typed) { broadcast_rows(values, typed, rows, length, out, parallel_for); });
}

}  // namespace
}  // namespace gapo
