// The masks of the token kernels, the same on the CPU and on the GPU.
#pragma once

#include <cstdint>

#include "host_device.h"
#include "matrix.h"

namespace gapo {

// The types of mask that the kernels read; other types are converted to one of these first.
enum class MaskType { kBool, kUint8, kInt32, kInt64, kFloat16, kBFloat16, kFloat, kDouble };

// As Matrix, of a type that is known when it runs.
struct Mask {
  const void* values;
  int64_t stride;
  MaskType type;

  template <typename V>
  GAPO_HD GAPO_INLINE Matrix<const V> as() const {
    return {static_cast<const V*>(values), stride};
  }
};

// A bool as torch keeps it: any byte but 0 is true.
struct Flag {
  uint8_t byte;

  template <typename T>
  GAPO_HD GAPO_INLINE explicit operator T() const {
    return byte != 0 ? T{1} : T{0};
  }
};

// Calls body with the mask as a Matrix of its type; of the 16-bit floats each backend has its own types. The branch is
// uniform: a call has one mask.
template <typename Float16, typename BFloat16, typename Body>
GAPO_HD GAPO_INLINE void with_mask(const Mask& mask, Body body) {
  switch (mask.type) {
    case MaskType::kBool:
      return body(mask.as<Flag>());
    case MaskType::kUint8:
      return body(mask.as<uint8_t>());
    case MaskType::kInt32:
      return body(mask.as<int32_t>());
    case MaskType::kInt64:
      return body(mask.as<int64_t>());
    case MaskType::kFloat16:
      return body(mask.as<Float16>());
    case MaskType::kBFloat16:
      return body(mask.as<BFloat16>());
    case MaskType::kFloat:
      return body(mask.as<float>());
    case MaskType::kDouble:
      return body(mask.as<double>());
  }
}

// value * mask, and 0 where the mask is 0: a NaN group leaves its padding 0.
template <typename T, typename Mask>
GAPO_HD GAPO_INLINE T masked(T value, Mask mask) {
  const T factor = static_cast<T>(mask);
  return factor == 0 ? T{0} : value * factor;
}

}  // namespace gapo
