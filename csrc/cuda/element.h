// Reading and writing rewards of every element type, in the precision of the computation: float, or double for float64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/call.h"
#include "host_device.h"
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace gapo::cuda {

#if defined(__CUDACC__)
GAPO_DEVICE float to_compute(__half value) { return __half2float(value); }
GAPO_DEVICE float to_compute(__nv_bfloat16 value) { return __bfloat162float(value); }
#endif
GAPO_DEVICE float to_compute(float value) { return value; }
GAPO_DEVICE double to_compute(double value) { return value; }

template <typename E>
GAPO_DEVICE E to_element(float value) {
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<E, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<E, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else
#endif
    return value;
}
template <typename E>
GAPO_DEVICE double to_element(double value) {
  return value;
}

// Several values that are read and written at once, up to 16 bytes in one access.
template <typename V, int kCount>
struct alignas(kCount * sizeof(V) < 16 ? kCount * sizeof(V) : 16) Chunk {
  V value[kCount];
};

GAPO_HD inline bool is_aligned(const void* memory, std::size_t bytes = 16) {
  return reinterpret_cast<uintptr_t>(memory) % bytes == 0;
}

// Calls body with a null pointer of the element's C++ type, one that is computed in T. A uniform branch.
template <typename T, typename Body>
GAPO_DEVICE void with_element([[maybe_unused]] Element element, Body body) {
  if constexpr (sizeof(T) == sizeof(double)) {
    body(static_cast<double*>(nullptr));
  } else {
#if defined(__CUDACC__)
    if (element == Element::kFloat16) return body(static_cast<__half*>(nullptr));
    if (element == Element::kBFloat16) return body(static_cast<__nv_bfloat16*>(nullptr));
#endif
    body(static_cast<float*>(nullptr));
  }
}

}  // namespace gapo::cuda
