// Matrices that may be columns of a larger one, as the masks of most frameworks are: the op reads them where they lie.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace gapo {

// A row's values lie one after the other, the rows `stride` values apart.
template <typename V>
struct Matrix {
  V* values;
  int64_t stride;

  GAPO_HD GAPO_INLINE V* row(int64_t number) const { return values + number * stride; }
};

}  // namespace gapo
