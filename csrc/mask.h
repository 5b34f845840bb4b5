// The masks of the token kernels, the same on the CPU and on the GPU.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace gapo {

// The types of mask that the kernels read; other types are converted to one of these first.
enum class MaskType { kBool, kUint8, kInt32, kInt64, kFloat16, kBFloat16, kFloat, kDouble };

// A bool as torch keeps it: any byte but 0 is true.
struct Flag {
  uint8_t byte;

  template <typename T>
  GAPO_HD GAPO_INLINE explicit operator T() const {
    return byte != 0 ? T{1} : T{0};
  }
};

// Calls body with the mask as a pointer to its type; of the 16-bit floats each backend has its own types. The branch is
// uniform: a call has one mask.
template <typename Float16, typename BFloat16, typename Body>
GAPO_HD GAPO_INLINE void with_mask(const void* mask, MaskType type, Body body) {
  switch (type) {
    case MaskType::kBool:
      return body(static_cast<const Flag*>(mask));
    case MaskType::kUint8:
      return body(static_cast<const uint8_t*>(mask));
    case MaskType::kInt32:
      return body(static_cast<const int32_t*>(mask));
    case MaskType::kInt64:
      return body(static_cast<const int64_t*>(mask));
    case MaskType::kFloat16:
      return body(static_cast<const Float16*>(mask));
    case MaskType::kBFloat16:
      return body(static_cast<const BFloat16*>(mask));
    case MaskType::kFloat:
      return body(static_cast<const float*>(mask));
    case MaskType::kDouble:
      return body(static_cast<const double*>(mask));
  }
}

// value * mask, and 0 where the mask is 0: a NaN group leaves its padding 0.
template <typename T, typename Mask>
GAPO_HD GAPO_INLINE T masked(T value, Mask mask) {
  const T factor = static_cast<T>(mask);
  return factor == 0 ? T{0} : value * factor;
}

}  // namespace gapo
