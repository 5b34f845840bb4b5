// Reading and writing rewards of every element type, in the precision of the computation: float, or double for float64.
#pragma once

#include <algorithm>
#include <cmath>
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

// Whether an address is a chunk's.
template <typename V, int kCount>
GAPO_HD bool holds_chunks(const V* memory) {
  return reinterpret_cast<uintptr_t>(memory) % alignof(Chunk<V, kCount>) == 0;
}

GAPO_HD inline bool is_aligned(const void* memory) { return reinterpret_cast<uintptr_t>(memory) % 16 == 0; }
// Four neighbours at once, from an address that is_aligned.
GAPO_DEVICE void load_chunk(const float* memory, float* values) {
#if defined(__CUDACC__)
  const float4 four = *reinterpret_cast<const float4*>(memory);
  values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
#else
  std::copy_n(memory, 4, values);
#endif
}
GAPO_DEVICE void store_chunk(const float* values, float* memory) {
#if defined(__CUDACC__)
  *reinterpret_cast<float4*>(memory) = make_float4(values[0], values[1], values[2], values[3]);
#else
  std::copy_n(values, 4, memory);
#endif
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
