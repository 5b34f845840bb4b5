// The running thread, as the algorithms see it: its number, its warp's shuffles, the barriers. The tests put fibers of
// the CPU in its place (tests/cuda/cpp/fiber.h), with the members that the algorithms that they run need.
#pragma once

#include <cstdint>

#include "cuda/tiers.h"
#include "host_device.h"

namespace gapo::cuda {

#if defined(__CUDACC__)
// A whole warp calls a member together, and the whole block sync_block.
struct Thread {
  static __device__ __forceinline__ int index() { return static_cast<int>(threadIdx.x); }

  template <typename T>
  static __device__ __forceinline__ T from(T value, int lane) {
    return __shfl_sync(kAll, value, lane);
  }
  template <typename T>
  static __device__ __forceinline__ T partner(T value, int mask) {
    return __shfl_xor_sync(kAll, value, mask);
  }
  static __device__ __forceinline__ uint32_t ballot(bool condition) { return __ballot_sync(kAll, condition); }
  template <typename T>
  static __device__ __forceinline__ uint32_t equal(T value) {  // the lanes that have this lane's value
    return __match_any_sync(kAll, value);
  }
  static __device__ __forceinline__ void sync_warp() { __syncwarp(); }
  static __device__ __forceinline__ void sync_block() { __syncthreads(); }

 private:
  static constexpr uint32_t kAll = 0xFFFFFFFFu;
};
#endif

// The number of the lowest bit that is set; one is.
GAPO_DEVICE int lowest_bit(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(bits)) - 1;
#else
  return __builtin_ctz(bits);
#endif
}

// The value itself, but the compiler cannot see where it comes from: it computes it once, here, not at every use.
GAPO_DEVICE int opaque(int value) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(value));
#endif
  return value;
}

// A value of the lane whose number differs by the bits of `mask`; structs overload it.
template <typename Thread, typename T>
GAPO_DEVICE T partner_of(T value, int mask) {
  return Thread::partner(value, mask);
}

}  // namespace gapo::cuda
