// float16 and bfloat16 read as float, and written: kLanes<float> values at a time, rounded to nearest, ties to even.
#pragma once

#include "cpu/backend.h"
#include "cpu/vec.h"

namespace gapo {
namespace {

typedef uint32_t Words __attribute__((vector_size(kVectorBytes)));
typedef uint16_t Halves __attribute__((vector_size(kVectorBytes / 2)));
typedef Halves UnalignedHalves __attribute__((aligned(2), may_alias));

template <typename T>
inline constexpr bool kIsHalf = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

template <typename Half>
GAPO_INLINE Halves load_bits(const Half* p) {
  return *reinterpret_cast<const UnalignedHalves*>(p);
}

GAPO_INLINE Vec<float> load_floats(const BFloat16* p) {
  return (Vec<float>)(__builtin_convertvector(load_bits(p), Words) << 16);
}

GAPO_INLINE Vec<float> load_floats(const Float16* p) {
#if GAPO_VECTOR_BYTES == 64
  return (Vec<float>)_mm512_cvtph_ps((__m256i)load_bits(p));
#elif GAPO_VECTOR_BYTES == 32
  return (Vec<float>)_mm256_cvtph_ps((__m128i)load_bits(p));
#else
  const Words bits = __builtin_convertvector(load_bits(p), Words), magnitude = bits & 0x7fffu;
  const Words normal = (magnitude << 13) + (112u << 23);  // the exponent's bias is 15 there, 127 here
  const Words special = normal + (112u << 23);            // infinity and NaN: the largest exponent
  const Words subnormal = (Words)(__builtin_convertvector(magnitude, Vec<float>) * 0x1p-24f);
  const Words value = magnitude < 0x0400u ? subnormal : magnitude < 0x7c00u ? normal : special;
  return (Vec<float>)(value | (bits & 0x8000u) << 16);
#endif
}

// As float64, in parts.
template <typename Half>
  requires(kIsHalf<Half>)
GAPO_INLINE Wide<Half> load_wide(const Half* p) {
  const Vec<float> v = load_floats(p);
#if GAPO_VECTOR_BYTES == 64
  return {(Vec<double>)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v)),
          (Vec<double>)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1))};
#elif GAPO_VECTOR_BYTES == 32
  return {(Vec<double>)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v)),
          (Vec<double>)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1))};
#else
  return {Vec<double>{v[0], v[1]}, Vec<double>{v[2], v[3]}};
#endif
}

template <typename Half>
Halves rounded_bits(Vec<float> v);

template <>
GAPO_INLINE Halves rounded_bits<BFloat16>(Vec<float> v) {
  const Words bits = (Words)v, rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  return __builtin_convertvector((v == v ? rounded : bits | 0x400000u) >> 16, Halves);
}

template <>
GAPO_INLINE Halves rounded_bits<Float16>(Vec<float> v) {
#if GAPO_VECTOR_BYTES == 64
  return (Halves)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif GAPO_VECTOR_BYTES == 32
  return (Halves)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#else
  const Words bits = (Words)v, magnitude = bits & 0x7fffffffu;
  const Words normal = (magnitude - (112u << 23) + 0x0fffu + (magnitude >> 13 & 1u)) >> 13;
  const Words subnormal = (Words)((Vec<float>)magnitude + 0.5f) - 0x3f000000u;  // floats from 0.5 on are 2^-24 apart
  const Words finite = magnitude < 0x38800000u ? subnormal : normal;
  const Words infinity = Words{} + 0x7c00u, nan = 0x7e00u | (magnitude >> 13 & 0x01ffu);
  const Words value = magnitude > 0x7f800000u ? nan : magnitude < 0x477ff000u ? finite : infinity;
  return __builtin_convertvector(value | (bits >> 16 & 0x8000u), Halves);
#endif
}

// Calls visit(value) for a few values, in order and as float64.
template <typename T, typename Visit>
GAPO_INLINE void visit_few(const T* values, int64_t n, Visit visit) {
  if constexpr (kIsHalf<T>) {  // converted together: one by one, these would take far longer
    for (int64_t i = 0; i < n; i += kLanes<float>) {
      const int64_t count = n - i < kLanes<float> ? n - i : kLanes<float>;
      T some[kLanes<float>] = {};
      std::memcpy(some, values + i, count * sizeof(T));
      const Vec<float> floats = load_floats(some);
      for (int64_t lane = 0; lane < count; ++lane) visit(static_cast<double>(floats[lane]));
    }
  } else {
    for (int64_t i = 0; i < n; ++i) visit(static_cast<double>(values[i]));
  }
}

}  // namespace
}  // namespace gapo
