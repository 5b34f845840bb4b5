// Unsigned keys in the order of the values: what bins keep their extremes as, and what the full sort sorts.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "host_device.h"

namespace gapo::cuda {
namespace {

// 64 bits as CUDA's atomics name them.
template <typename T>
using KeyOf = std::conditional_t<sizeof(T) == 4, uint32_t, unsigned long long>;

template <typename Key>
inline constexpr Key kLargestKey = ~Key{0};  // above every value that is not NaN: infinity has a mantissa of zeros

// All bits of a negative flipped, the sign bit of the others. Both zeros have one key, that of +0.
template <typename T>
GAPO_DEVICE KeyOf<T> to_key(T value) {
  using Key = KeyOf<T>;
  constexpr Key sign = Key{1} << (sizeof(Key) * 8 - 1);
  const T unsigned_zero = value + T{0};
  Key bits;
  memcpy(&bits, &unsigned_zero, sizeof(bits));
  return bits ^ ((bits & sign) ? kLargestKey<Key> : sign);
}

template <typename T>
GAPO_DEVICE T from_key(KeyOf<T> key) {
  using Key = KeyOf<T>;
  constexpr Key sign = Key{1} << (sizeof(Key) * 8 - 1);
  const Key bits = key ^ ((key & sign) ? sign : kLargestKey<Key>);
  T value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace
}  // namespace gapo::cuda
