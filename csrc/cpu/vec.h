// SIMD vectors for one instruction set, on the compiler's vector extension.
//
// Included by the isa_*.cpp files, each of which sets GAPO_VECTOR_BYTES and the target first; everything is in an
// unnamed namespace, so that no function of one instruction set can be linked into another.
#pragma once

#include "cpu/standard_headers.h"

namespace gapo {
namespace {

inline constexpr int kVectorBytes = GAPO_VECTOR_BYTES;

template <typename T>
struct VecOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};
template <typename T>
using Vec = typename VecOf<T>::type;

template <typename T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

// Rows that a block of the column sort keeps in registers: half of the register file.
#if defined(__x86_64__)
inline constexpr int kBlock = kVectorBytes == 64 ? 16 : 8;
#else
inline constexpr int kBlock = 16;
#endif

#define GAPO_INLINE inline __attribute__((always_inline))

template <typename T>
GAPO_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::unaligned*>(p);
}
template <typename T>
GAPO_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::unaligned*>(p) = v;
}
template <typename T>
GAPO_INLINE Vec<T> splat(T value) {
  return Vec<T>{} + value;
}

// min(a, b) and max(a, b): where either is NaN, b. Spelt out, since GCC makes two instructions of `a < b ? a : b`.
#if defined(__x86_64__)
#define GAPO_MIN_MAX(T, REGISTER, PREFIX, SUFFIX)                                                                     \
  GAPO_INLINE Vec<T> min(Vec<T> a, Vec<T> b) { return (Vec<T>)PREFIX##_min_##SUFFIX((REGISTER)a, (REGISTER)b); }      \
  GAPO_INLINE Vec<T> max(Vec<T> a, Vec<T> b) { return (Vec<T>)PREFIX##_max_##SUFFIX((REGISTER)a, (REGISTER)b); }
#if GAPO_VECTOR_BYTES == 64
GAPO_MIN_MAX(float, __m512, _mm512, ps)
GAPO_MIN_MAX(double, __m512d, _mm512, pd)
#elif GAPO_VECTOR_BYTES == 32
GAPO_MIN_MAX(float, __m256, _mm256, ps)
GAPO_MIN_MAX(double, __m256d, _mm256, pd)
#else
GAPO_MIN_MAX(float, __m128, _mm, ps)
GAPO_MIN_MAX(double, __m128d, _mm, pd)
#endif
#undef GAPO_MIN_MAX
#else
template <typename V>
GAPO_INLINE V min(V a, V b) {
  return a < b ? a : b;
}
template <typename V>
GAPO_INLINE V max(V a, V b) {
  return a > b ? a : b;
}
#endif

// A vector of T seen as float64: one part for double, two for float.
template <typename T>
inline constexpr int kParts = sizeof(double) / sizeof(T);
template <typename T>
struct Wide {
  Vec<double> part[kParts<T>];
};

template <std::size_t Begin, typename V, std::size_t... I>
GAPO_INLINE Vec<double> widen_lanes(V v, std::index_sequence<I...>) {
  return __builtin_convertvector(__builtin_shufflevector(v, v, (Begin + I)...), Vec<double>);
}

template <typename T>
GAPO_INLINE Wide<T> widen(Vec<T> v) {
  if constexpr (kParts<T> == 1) {
    return {{v}};
  } else {
    using Half = std::make_index_sequence<kLanes<double>>;
    return {{widen_lanes<0>(v, Half{}), widen_lanes<kLanes<double>>(v, Half{})}};
  }
}

template <typename T, std::size_t... I>
GAPO_INLINE Vec<T> join_halves(Wide<T> w, std::index_sequence<I...>) {
  typedef T Half __attribute__((vector_size(kVectorBytes / 2)));
  return __builtin_shufflevector(__builtin_convertvector(w.part[0], Half), __builtin_convertvector(w.part[1], Half),
                                 I...);
}

// Rounds each lane to T, once.
template <typename T>
GAPO_INLINE Vec<T> narrow(Wide<T> w) {
  if constexpr (kParts<T> == 1) {
    return w.part[0];
  } else {
    return join_halves<T>(w, std::make_index_sequence<kLanes<T>>{});
  }
}

template <typename T, std::size_t... I>
GAPO_INLINE void interleave(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high, std::index_sequence<I...>) {
  constexpr int n = kLanes<T>;
  low = __builtin_shufflevector(a, b, (I / 2 + (I % 2) * n)...);
  high = __builtin_shufflevector(a, b, (n / 2 + I / 2 + (I % 2) * n)...);
}

// Transposes kLanes rows of n values, held row after row in n vectors, into n rows of kLanes values; n is a power of two,
// at most kLanes. Each of log2(kLanes) perfect shuffles of all the values turns their index by one bit.
template <typename T, std::size_t n>
GAPO_INLINE void transpose(Vec<T> (&values)[n]) {
#pragma GCC unroll 4
  for (int round = 1; round < kLanes<T>; round *= 2) {
    Vec<T> shuffled[n];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n / 2; ++i) {
      interleave<T>(values[i], values[i + n / 2], shuffled[2 * i], shuffled[2 * i + 1],
                    std::make_index_sequence<kLanes<T>>{});
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n; ++i) values[i] = shuffled[i];
  }
}

}  // namespace
}  // namespace gapo
