// What the launchers have in common: from run-time choices to a kernel and its grid.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "cuda/enqueue.h"
#include "cuda/group.h"
#include "cuda/launch.h"
#include "cuda/tiers.h"

// The block and the register budget of a size class, for the compiler.
#define GAPO_BOUNDS(T, kClass)                    \
  __launch_bounds__(kSizeClasses[kClass].threads, \
                    kSizeClasses[kClass].blocks_per_processor(sizeof(T) == sizeof(double)))

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

// Launches a tier's kernel of the call's kind; kernel_of(plain, zero, chosen) names it.
template <Tier kTier, typename KernelOf>
cudaError_t launch_class(const Call& call, int size_class, cudaStream_t stream, KernelOf kernel_of) {
  return with_class<kTier>(size_class, [&](auto chosen) {
    constexpr SizeClass shape = kSizeClasses[decltype(chosen)::value];
    const Grid grid{static_cast<unsigned>(divide_up(call.groups.count, shape.groups_per_block())), shape.threads};
    return with_kind(
        call, [&](auto plain, auto zero) { return enqueue(kernel_of(plain, zero, chosen), grid, stream, call); });
  });
}

// Blocks of a kernel that goes through its work in steps: enough to fill any GPU several times over. An odd number, so
// that work which comes in periods of a power of two does not fall to a few of them.
inline unsigned steps_for(int64_t blocks) {
  constexpr int64_t most = 8191;
  return static_cast<unsigned>(blocks < most ? blocks : most);
}

}  // namespace
}  // namespace gapo::cuda
