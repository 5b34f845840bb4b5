// SIMD vectors for one instruction set, on the compiler's vector extension.
//
// Included by the isa_*.cpp files, each of which sets GAPO_VECTOR_BYTES and the target first; everything is in an
// unnamed namespace, so that no function of one instruction set can be linked into another.
#pragma once

#include "cpu/standard_headers.h"
#include "host_device.h"

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
#define GAPO_MIN_MAX(T, REGISTER, PREFIX, SUFFIX)                                                                \
  GAPO_INLINE Vec<T> min(Vec<T> a, Vec<T> b) { return (Vec<T>)PREFIX##_min_##SUFFIX((REGISTER)a, (REGISTER)b); } \
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

GAPO_INLINE Vec<double> square_root(Vec<double> v) {
#if GAPO_VECTOR_BYTES == 64
  return (Vec<double>)_mm512_sqrt_pd((__m512d)v);
#elif GAPO_VECTOR_BYTES == 32
  return (Vec<double>)_mm256_sqrt_pd((__m256d)v);
#else
  for (int lane = 0; lane < kLanes<double>; ++lane) v[lane] = __builtin_sqrt(v[lane]);
  return v;
#endif
}

// A vector of T seen as float64: one part for double, two for float and for what is read as float.
template <typename T>
inline constexpr int kParts = std::is_same_v<T, double> ? 1 : 2;
template <typename T>
struct Wide {
  Vec<double> part[kParts<T>];
};

// Loads and stores kLanes<T> values as float64, each part by one converting instruction: GCC 12 makes more of
// __builtin_convertvector. Storing rounds each value to T, once.
GAPO_INLINE Vec<double> load_part(const float* p) {
#if GAPO_VECTOR_BYTES == 64
  return (Vec<double>)_mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif GAPO_VECTOR_BYTES == 32
  return (Vec<double>)_mm256_cvtps_pd(_mm_loadu_ps(p));
#else
  return Vec<double>{p[0], p[1]};
#endif
}
GAPO_INLINE Vec<double> load_part(const double* p) { return load(p); }

GAPO_INLINE void store_part(float* p, Vec<double> v) {
#if GAPO_VECTOR_BYTES == 64
  _mm256_storeu_ps(p, _mm512_cvtpd_ps((__m512d)v));
#elif GAPO_VECTOR_BYTES == 32
  _mm_storeu_ps(p, _mm256_cvtpd_ps((__m256d)v));
#else
  p[0] = static_cast<float>(v[0]);
  p[1] = static_cast<float>(v[1]);
#endif
}
GAPO_INLINE void store_part(double* p, Vec<double> v) { store(p, v); }

template <typename T>
GAPO_INLINE Wide<T> load_wide(const T* values) {
  Wide<T> wide;
  for (int p = 0; p < kParts<T>; ++p) wide.part[p] = load_part(values + p * kLanes<double>);
  return wide;
}

template <typename T>
GAPO_INLINE void store_wide(T* values, const Wide<T>& wide) {
  for (int p = 0; p < kParts<T>; ++p) store_part(values + p * kLanes<double>, wide.part[p]);
}

template <typename T, std::size_t... I>
GAPO_INLINE void interleave(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high, std::index_sequence<I...>) {
  constexpr int n = kLanes<T>;
  low = __builtin_shufflevector(a, b, (I / 2 + (I % 2) * n)...);
  high = __builtin_shufflevector(a, b, (n / 2 + I / 2 + (I % 2) * n)...);
}

// Transposes kLanes rows of n values, held row after row in n vectors, into n rows of kLanes values; n is a power of
// two, at most kLanes. Each of log2(kLanes) perfect shuffles of all the values rotates their index by one bit.
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
