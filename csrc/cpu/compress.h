// Moves the values that a mask keeps together, and results back to where the values came from. A step is the same for
// a value and for a hole: a branch on a mask without a pattern would be mispredicted, which takes longer than many
// steps.
#pragma once

#include "cpu/backend.h"
#include "cpu/vec.h"

namespace gapo {
namespace {

// Whether this instruction set moves lanes by a mask, kLanes<T> at a time.
template <typename T>
inline constexpr bool kMovesLanes = kVectorBytes == 64 || (kVectorBytes == 32 && std::is_same_v<T, float>);

static_assert(kLanes<float> <= kReadAhead);

#if GAPO_VECTOR_BYTES == 64
// Bit i: whether kept[i] is not 0, of so many bytes as a vector has values.
template <typename T>
GAPO_INLINE unsigned kept_lanes(const uint8_t* kept) {
  const __m128i bytes = sizeof(T) == 4 ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(kept)) : _mm_loadu_si64(kept);
  return _mm_test_epi8_mask(bytes, bytes);
}
// The lanes that are kept, in order, in the first places.
GAPO_INLINE Vec<float> compressed(Vec<float> v, unsigned lanes) {
  return (Vec<float>)_mm512_maskz_compress_ps(static_cast<__mmask16>(lanes), (__m512)v);
}
GAPO_INLINE Vec<double> compressed(Vec<double> v, unsigned lanes) {
  return (Vec<double>)_mm512_maskz_compress_pd(static_cast<__mmask8>(lanes), (__m512d)v);
}
// The other way round, with 0 in the lanes that are not kept.
GAPO_INLINE Vec<float> expanded(Vec<float> v, unsigned lanes) {
  return (Vec<float>)_mm512_maskz_expand_ps(static_cast<__mmask16>(lanes), (__m512)v);
}
GAPO_INLINE Vec<double> expanded(Vec<double> v, unsigned lanes) {
  return (Vec<double>)_mm512_maskz_expand_pd(static_cast<__mmask8>(lanes), (__m512d)v);
}
#elif GAPO_VECTOR_BYTES == 32
// For each set of lanes: which lane each place takes, a byte a place.
struct LaneMoves {
  std::array<uint64_t, 256> compress, expand;
};
constexpr LaneMoves make_lane_moves() {
  LaneMoves moves{};
  for (unsigned lanes = 0; lanes < 256; ++lanes) {
    int place = 0;
    for (int lane = 0; lane < 8; ++lane) {
      if (!(lanes >> lane & 1)) continue;
      moves.compress[lanes] |= static_cast<uint64_t>(lane) << 8 * place;
      moves.expand[lanes] |= static_cast<uint64_t>(place++) << 8 * lane;
    }
  }
  return moves;
}
inline constexpr LaneMoves kLaneMoves = make_lane_moves();

GAPO_INLINE __m256 moved(Vec<float> v, const uint64_t& move) {
  return _mm256_permutevar8x32_ps((__m256)v, _mm256_cvtepu8_epi32(_mm_loadu_si64(&move)));
}
template <typename T>
GAPO_INLINE unsigned kept_lanes(const uint8_t* kept) {
  return ~_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si64(kept), __m128i{})) & 0xff;
}
GAPO_INLINE Vec<float> compressed(Vec<float> v, unsigned lanes) {
  return (Vec<float>)moved(v, kLaneMoves.compress[lanes]);
}
GAPO_INLINE Vec<float> expanded(Vec<float> v, unsigned lanes) {
  const __m256i bit_of_lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i is_kept = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(lanes), bit_of_lane), bit_of_lane);
  return (Vec<float>)_mm256_and_ps(moved(v, kLaneMoves.expand[lanes]), _mm256_castsi256_ps(is_kept));
}
#endif

template <typename T>
void compress(const T* values, const uint8_t* kept, T* packed, int64_t count) {
  T* const end = packed + count;
  if constexpr (kMovesLanes<T>) {
    while (end - packed >= kLanes<T>) {  // not beyond the end: what lies there may be another thread's
      const unsigned lanes = kept_lanes<T>(kept);
      store(packed, compressed(load(values), lanes));
      packed += __builtin_popcount(lanes);
      values += kLanes<T>;
      kept += kLanes<T>;
    }
  }
  while (packed < end) {
    *packed = *values++;
    packed += *kept++ != 0;
  }
}

// Without a branch, which compilers like to make of a condition.
template <typename T>
GAPO_INLINE T value_or_zero(T value, bool is_value) {
  using Bits = std::conditional_t<sizeof(T) == sizeof(uint32_t), uint32_t, uint64_t>;
  return __builtin_bit_cast(T, __builtin_bit_cast(Bits, value) & (Bits{0} - Bits{is_value}));
}

template <typename T>
void expand(const T* packed, const uint8_t* kept, T* values, int64_t n) {
  int64_t i = 0;
  if constexpr (kMovesLanes<T>) {
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      const unsigned lanes = kept_lanes<T>(kept + i);
      store(values + i, expanded(load(packed), lanes));
      packed += __builtin_popcount(lanes);
    }
  }
  for (; i < n; ++i) {
    const bool is_kept = kept[i] != 0;
    values[i] = value_or_zero(*packed, is_kept);
    packed += is_kept;
  }
}

}  // namespace
}  // namespace gapo
