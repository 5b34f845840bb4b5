// The two passes of the token-level step: sum the rows, broadcast the scores over the mask. Both are bound by memory
// bandwidth.
#pragma once

#include "cpu/backend.h"
#include "cpu/striped_sum.h"

namespace gapo {
namespace {

inline constexpr int64_t kTokenGrain = 65536;                // tokens a task should at least have
inline constexpr int64_t kStreamedBytes = int64_t{4} << 20;  // an output larger than this is written past the caches

inline int64_t row_grain(int64_t length) { return kTokenGrain / (length > 0 ? length : 1) + 1; }

template <typename Token>
void row_sums(const Token* tokens, int64_t rows, int64_t length, Computed<Token>* sums, ParallelFor parallel_for) {
  parallel_for(rows, row_grain(length), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const double sum = striped_sum(tokens + row * length, length, [](auto x) { return x; });
      sums[row] = static_cast<Computed<Token>>(sum);
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

template <typename T>
GAPO_INLINE Vec<T> load_mask(const Flag* mask) {
  const Vec<T> bytes = load_mask<T>(&mask->byte);
  return bytes == 0 ? Vec<T>{} : splat(T{1});
}

// masked() of kLanes<T> tokens at once: a compiler would make branches of a loop over masked().
template <typename T, typename Mask>
GAPO_INLINE Vec<T> masked_lanes(T value, const Mask* mask) {
  const Vec<T> factor = load_mask<T>(mask);
  return factor == 0 ? Vec<T>{} : value * factor;
}

// kLanes<Computed<Token>> tokens as they are stored.
template <typename Token>
GAPO_INLINE auto token_lanes(Vec<Computed<Token>> v) {
  if constexpr (sizeof(Token) == sizeof(Computed<Token>)) {
    return v;
  } else {
    return rounded_bits<Token>(v);
  }
}

// Stores a vector at an address that is a multiple of its size, past the caches where the CPU can.
template <typename V>
GAPO_INLINE void stream(void* aligned, V v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, static_cast<V*>(aligned));
#else
#if GAPO_VECTOR_BYTES == 64
  if constexpr (sizeof(V) == 64) return _mm512_stream_si512(static_cast<__m512i*>(aligned), (__m512i)v);
#endif
#if GAPO_VECTOR_BYTES >= 32
  if constexpr (sizeof(V) == 32) return _mm256_stream_si256(static_cast<__m256i*>(aligned), (__m256i)v);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16) return _mm_stream_si128(static_cast<__m128i*>(aligned), (__m128i)v);
#endif
  std::memcpy(aligned, &v, sizeof(V));
#endif
}

// Streamed stores are not ordered with the others: a fence before another thread may read what was written.
inline void finish_stream() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <typename Token, typename Mask>
void write_row(Computed<Token> value, const Mask* mask, int64_t length, bool streamed, Token* out) {
  using T = Computed<Token>;
  constexpr std::size_t vector_bytes = kLanes<T> * sizeof(Token);
  int64_t t = 0;
  const auto write_one = [&] {
    out[t] = to_token<Token>(masked(value, mask[t]));
    ++t;
  };
  while (streamed && t < length && reinterpret_cast<std::uintptr_t>(out + t) % vector_bytes != 0) write_one();
  for (; t + kLanes<T> <= length; t += kLanes<T>) {
    const auto tokens = token_lanes<Token>(masked_lanes(value, mask + t));
    if (streamed) {
      stream(out + t, tokens);
    } else {
      std::memcpy(out + t, &tokens, vector_bytes);
    }
  }
  while (t < length) write_one();
}

template <typename Token, typename Mask>
void broadcast_rows(const Computed<Token>* values, const Mask* mask, int64_t rows, int64_t length, Token* out,
                    ParallelFor parallel_for) {
  const bool streamed = rows * length * static_cast<int64_t>(sizeof(Token)) > kStreamedBytes;
  parallel_for(rows, row_grain(length), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      write_row(values[row], mask + row * length, length, streamed, out + row * length);
    }
    if (streamed) finish_stream();
  });
}

template <typename Token>
void broadcast(const Computed<Token>* values, const void* mask, MaskType type, int64_t rows, int64_t length, Token* out,
               ParallelFor parallel_for) {
  with_mask(mask, type, [&](auto* typed) { broadcast_rows(values, typed, rows, length, out, parallel_for); });
}

}  // namespace
}  // namespace gapo
