// A stable radix sort of float or double, least significant digit first: for groups whose values no bin can tell apart.
#pragma once

#include "cpu/buffer.h"

namespace gapo {
namespace {

template <typename T>
using KeyOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

// An unsigned key in the order of the values: all bits of a negative flipped, the sign bit of the others.
template <typename T>
GAPO_INLINE KeyOf<T> to_key(T value) {
  using Key = KeyOf<T>;
  constexpr Key sign = Key{1} << (sizeof(Key) * 8 - 1);
  const Key bits = __builtin_bit_cast(Key, value);
  return bits ^ ((bits & sign) ? ~Key{0} : sign);
}

template <typename T>
GAPO_INLINE T from_key(KeyOf<T> key) {
  using Key = KeyOf<T>;
  constexpr Key sign = Key{1} << (sizeof(Key) * 8 - 1);
  return __builtin_bit_cast(T, key ^ ((key & sign) ? sign : ~Key{0}));
}

// Sorts n keys by digits of kBits bits; returns whichever of the two arrays holds the result. `varying` has the bits in
// which keys differ: digits outside of it are not looked at.
template <int kBits, typename Key>
Key* sort_keys(Key* keys, Key* other, int64_t n, Key varying) {
  constexpr Key mask = (Key{1} << kBits) - 1;
  Buffer<uint32_t> next(int64_t{1} << kBits);
  for (int shift = 0; shift < static_cast<int>(sizeof(Key)) * 8; shift += kBits) {
    if (((varying >> shift) & mask) == 0) continue;
    next.zero();
    for (int64_t i = 0; i < n; ++i) ++next[(keys[i] >> shift) & mask];
    uint32_t start = 0;
    for (int64_t digit = 0; digit <= static_cast<int64_t>(mask); ++digit) {
      const uint32_t count = next[digit];
      next[digit] = start;
      start += count;
    }
    for (int64_t i = 0; i < n; ++i) other[next[(keys[i] >> shift) & mask]++] = keys[i];
    Key* const sorted = other;
    other = keys;
    keys = sorted;
  }
  return keys;
}

// Writes values[0 .. n) in ascending order to sorted; the two may be the same array. NaN is not expected.
template <typename T>
void radix_sort(const T* values, T* sorted, int64_t n) {
  using Key = KeyOf<T>;
  Buffer<Key> memory(2 * n);
  Key* const keys = memory.data();
  Key varying = 0;
  for (int64_t i = 0; i < n; ++i) {
    keys[i] = to_key(values[i]);
    varying |= keys[i] ^ keys[0];
  }
  // wide digits need fewer passes, narrow ones less counting
  const Key* result = n < 4096 ? sort_keys<8>(keys, keys + n, n, varying) : sort_keys<11>(keys, keys + n, n, varying);
  for (int64_t i = 0; i < n; ++i) sorted[i] = from_key<T>(result[i]);
}

}  // namespace
}  // namespace gapo
