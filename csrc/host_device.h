// Marks what is compiled for the CPU and, by nvcc, for the GPU as well.
#pragma once

#define GAPO_INLINE inline __attribute__((always_inline))

#if defined(__CUDACC__)
#define GAPO_HD __host__ __device__
#define GAPO_DEVICE __device__ __forceinline__  // kernels' parts; a C++ compiler runs them in the tests
#else
#define GAPO_HD
#define GAPO_DEVICE inline
#endif

namespace gapo {

// count / by, rounded up: how many parts of size `by` hold `count`.
template <typename T, typename By>
GAPO_HD GAPO_INLINE constexpr auto divide_up(T count, By by) {
  return (count + by - 1) / by;
}

}  // namespace gapo
