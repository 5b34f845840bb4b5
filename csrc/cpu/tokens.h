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
void row_sums(Matrix<const Token> tokens, int64_t rows, int64_t length, Computed<Token>* sums,
              ParallelFor parallel_for) {
  parallel_for(rows, row_grain(length), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const double sum = striped_sum(tokens.row(row), length, [](auto x) { return x; });
      sums[row] = static_cast<Computed<Token>>(sum);
    }
  });
}

// kLanes<T> mask values as T. Bytes, which hold most masks, have their own: GCC 12 converts them one by one.
template <typename T, typename M>
GAPO_INLINE Vec<T> load_mask(const M* mask) {
  typedef M Masks __attribute__((vector_size(kLanes<T> * sizeof(M)), aligned(sizeof(M)), may_alias));
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

template <typename T, typename M>
  requires(kIsHalf<M>)
GAPO_INLINE Vec<T> load_mask(const M* mask) {
  if constexpr (std::is_same_v<T, float>) {
    return load_floats(mask);
  } else {
    M halves[kLanes<float>] = {};
    std::memcpy(halves, mask, kLanes<T> * sizeof(M));
    return load_wide(halves).part[0];
  }
}

// masked() of kLanes<T> tokens at once: a compiler would make branches of a loop over masked().
template <typename T, typename M>
GAPO_INLINE Vec<T> masked_lanes(T value, const M* mask) {
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

// Fewer tokens than a vector has.
template <typename Token, typename M>
GAPO_INLINE void write_few(Computed<Token> value, const M* mask, int64_t count, Token* out) {
  using T = Computed<Token>;
  if constexpr (kIsHalf<Token> || kIsHalf<M>) {  // a vector after all: one by one, these would take far longer
    M masks[kLanes<T>] = {};
    std::memcpy(masks, mask, count * sizeof(M));
    const auto tokens = token_lanes<Token>(masked_lanes(value, masks));
    std::memcpy(out, &tokens, count * sizeof(Token));
  } else {
    for (int64_t t = 0; t < count; ++t) {
      asm volatile("");  // else a cascade of ever shorter vectors, which takes longer
      out[t] = masked(value, mask[t]);
    }
  }
}

template <typename Token, typename M>
void write_row(Computed<Token> value, const M* mask, int64_t length, bool streamed, Token* out) {
  using T = Computed<Token>;
  constexpr int64_t lanes = kLanes<T>, line = 64 / sizeof(Token);  // tokens
  int64_t t = 0;
  const auto write_until = [&](int64_t end) {
    for (; t + lanes <= end; t += lanes) {
      const auto tokens = token_lanes<Token>(masked_lanes(value, mask + t));
      std::memcpy(out + t, &tokens, lanes * sizeof(Token));
    }
    if (t < end) write_few(value, mask + t, end - t, out + t);
    t = end;
  };
  if (streamed) {  // whole cache lines only: it takes long to stream one in part
    const int64_t behind = reinterpret_cast<std::uintptr_t>(out) / sizeof(Token) % line;
    if (behind > 0) write_until(line - behind < length ? line - behind : length);
    for (; t + line <= length; t += line) {
      for (int64_t part = t; part < t + line; part += lanes) {
        stream(out + part, token_lanes<Token>(masked_lanes(value, mask + part)));
      }
    }
  }
  write_until(length);
}

template <typename Token, typename M>
void broadcast_rows(const Computed<Token>* values, Matrix<const M> mask, int64_t rows, int64_t length, Token* out,
                    ParallelFor parallel_for) {
  const bool streamed = rows * length * static_cast<int64_t>(sizeof(Token)) > kStreamedBytes;
  parallel_for(rows, row_grain(length), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      write_row(values[row], mask.row(row), length, streamed, out + row * length);
    }
    if (streamed) finish_stream();
  });
}

template <typename Token>
void broadcast(const Computed<Token>* values, const Mask& mask, int64_t rows, int64_t length, Token* out,
               ParallelFor parallel_for) {
  with_mask<Float16, BFloat16>(
      mask, [&](const auto& typed) { broadcast_rows(values, typed, rows, length, out, parallel_for); });
}

}  // namespace
}  // namespace gapo
