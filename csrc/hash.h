// The hash of the tables of ids, on the CPU and on a GPU.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace gapo {

// splitmix64's finalizer: every bit moves every bit, so that ids which lie any step apart spread like random ones.
// One multiplication is not enough: with the golden ratio's, multiples of a Fibonacci number would all lie together.
GAPO_HD GAPO_INLINE uint64_t mixed(uint64_t bits) {
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EBu;
  return bits ^ bits >> 31;
}

}  // namespace gapo
