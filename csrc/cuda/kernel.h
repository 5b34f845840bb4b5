// What the launchers have in common: from run-time choices to template arguments, and the size of a grid.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>
#include <utility>

#include "cuda/enqueue.h"
#include "cuda/group.h"
#include "cuda/launch.h"
#include "cuda/tiers.h"

// The block and the register budget of a size class, for the compiler.
#define GAPO_BOUNDS(T, kClass) \
  __launch_bounds__(kSizeClasses[kClass].threads, kSizeClasses[kClass].blocks_for(sizeof(T) == sizeof(double)))

namespace gapo::cuda {
namespace {

// Calls body with the size class as a type; one of the tier's.
template <Tier kTier, int kClass = 0, typename Body>
cudaError_t with_class(int size_class, Body body) {
  if constexpr (kClass == kSizeClassCount) {
    return cudaErrorInvalidValue;
  } else if constexpr (kSizeClasses[kClass].tier != kTier) {
    return with_class<kTier, kClass + 1>(size_class, body);
  } else {
    if (size_class == kClass) return body(std::integral_constant<int, kClass>{});
    return with_class<kTier, kClass + 1>(size_class, body);
  }
}

// Calls body(whether the call is plain, a zero of the type it is computed in).
template <typename Body>
cudaError_t with_kind(const Call& call, Body body) {
  if (call.element == Element::kFloat64) return body(std::false_type{}, double{});
  return is_plain(call) ? body(std::true_type{}, float{}) : body(std::false_type{}, float{});
}

inline unsigned blocks_for(int64_t groups, int groups_per_block) {
  return static_cast<unsigned>(divide_up(groups, groups_per_block));
}

// Blocks of a kernel that goes through its work in steps: enough to fill any GPU several times over. An odd number, so
// that work which comes in periods of a power of two does not fall to a few of them.
inline unsigned steps_for(int64_t blocks) {
  constexpr int64_t most = 8191;
  return static_cast<unsigned>(blocks < most ? blocks : most);
}

}  // namespace
}  // namespace gapo::cuda
