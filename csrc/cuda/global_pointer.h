// Pointers to global memory that a block keeps in its own. The compiler cannot see where such a pointer leads; without
// being told, it makes every read through one wait for the block's own writes before it, one after the other.
#pragma once

#include "host_device.h"

namespace gapo::cuda {
namespace {

template <typename V>
class GlobalPointer {
 public:
  GlobalPointer() = default;
  GAPO_DEVICE GlobalPointer(V* place) : place_(place) {}

  GAPO_DEVICE operator V*() const {
#if defined(__CUDA_ARCH__)
    __builtin_assume(__isGlobal(place_));
#endif
    return place_;
  }

 private:
  V* place_;
};

}  // namespace
}  // namespace gapo::cuda
