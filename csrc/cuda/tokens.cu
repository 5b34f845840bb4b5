// The two passes of the token-level step: sum the rows, broadcast the scores over the mask. Both are bound by memory
// bandwidth.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/enqueue.h"
#include "cuda/launch.h"
#include "cuda/thread.h"
#include "cuda/token_rows.h"

namespace gapo::cuda {
namespace {

// The row of this thread and its lane there.
struct TokenLane {
  int64_t row;
  int lane;

  __device__ explicit TokenLane(int lanes)
      : row(int64_t{blockIdx.x} * (blockDim.x / lanes) + threadIdx.x / lanes), lane(threadIdx.x % lanes) {}
};

template <typename E, typename T>
__global__ void __launch_bounds__(kMostTokenThreads) row_sums(Matrix<const E> tokens,  // [rows, length]
                                                              int64_t rows, int64_t length, bool whole, int lanes,
                                                              T* sums) {  // [rows]
  if (!whole) follow_stream();  // what is read piece by piece needs the L1 cache
  __shared__ double warp_sums[kMostTokenThreads / kWarp];
  const TokenLane at(lanes);
  double sum = 0.0;
  if (at.row < rows) sum = lane_sum(tokens.row(at.row), length, whole, at.lane, lanes);
  for (int mask = 1; mask < lanes && mask < kWarp; mask *= 2) sum += Thread::partner(sum, mask);
  if (lanes > kWarp) {  // the same for all threads
    const int warp = threadIdx.x / kWarp, warps = lanes / kWarp;
    if (threadIdx.x % kWarp == 0) warp_sums[warp] = sum;
    __syncthreads();
    sum = at.lane < warps ? warp_sums[warp + at.lane] : 0.0;  // by the row's first warp
    for (int mask = 1; mask < warps; mask *= 2) sum += Thread::partner(sum, mask);
  }
  if (at.row < rows && at.lane == 0) sums[at.row] = static_cast<T>(sum);
  if (whole) end_beside();
}

template <typename E, typename T>
__global__ void __launch_bounds__(kMostTokenThreads) broadcast_rows(const T* values,  // [rows]
                                                                    Mask mask,        // [rows, length]
                                                                    int64_t rows, int64_t length, bool whole, int lanes,
                                                                    E* out) {  // [rows, length]
  follow_stream();
  const TokenLane at(lanes);
  if (at.row >= rows) return;
  with_mask<__half, __nv_bfloat16>(mask, [&](const auto& typed) {
    write_tokens(values[at.row], typed.row(at.row), length, whole, at.lane, lanes, out + at.row * length);
  });
}

// Calls body(a null pointer to the element, one to the type it is computed in).
template <typename Body>
cudaError_t for_element(Element element, Body body) {
  switch (element) {
    case Element::kFloat32:
      return body(static_cast<float*>(nullptr), static_cast<float*>(nullptr));
    case Element::kFloat64:
      return body(static_cast<double*>(nullptr), static_cast<double*>(nullptr));
    case Element::kFloat16:
      return body(static_cast<__half*>(nullptr), static_cast<float*>(nullptr));
    case Element::kBFloat16:
      return body(static_cast<__nv_bfloat16*>(nullptr), static_cast<float*>(nullptr));
  }
  return cudaErrorInvalidValue;
}

// Whether every row of the mask can be read so many values at a time.
template <int kCount>
bool are_chunks(const Mask& mask) {
  bool begins_so = false;
  with_mask<__half, __nv_bfloat16>(mask, [&](const auto& typed) {
    using V = std::remove_cvref_t<decltype(*typed.values)>;
    begins_so = is_aligned(mask.values, alignof(Chunk<V, kCount>));
  });
  return begins_so && mask.stride % kCount == 0;
}

Grid grid_of(int64_t rows, int lanes) {
  const int threads = std::max(kTokenThreads, lanes);
  return {static_cast<unsigned>(divide_up(rows, threads / lanes)), threads};
}

}  // namespace

cudaError_t launch_row_sums(const void* tokens, int64_t stride, Element element, int64_t rows, int64_t length,
                            void* sums, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  return for_element(element, [&](auto* token, auto* computed) {
    using E = std::remove_pointer_t<decltype(token)>;
    using T = std::remove_pointer_t<decltype(computed)>;
    constexpr int chunk = kTokensPerChunk<E>;
    const int lanes = lanes_for(length, chunk);
    const bool whole = is_aligned(tokens) && stride % chunk == 0 && length % chunk == 0;
    const Matrix<const E> matrix{static_cast<const E*>(tokens), stride};
    return enqueue(row_sums<E, T>, grid_of(rows, lanes), stream, matrix, rows, length, whole, lanes,
                   static_cast<T*>(sums));
  });
}

cudaError_t launch_token_broadcast(const void* values, const Mask& mask, int64_t rows, int64_t length, void* out,
                                   Element element, cudaStream_t stream) {
  if (rows == 0 || length == 0) return cudaSuccess;
  return for_element(element, [&](auto* token, auto* computed) {
    using E = std::remove_pointer_t<decltype(token)>;
    using T = std::remove_pointer_t<decltype(computed)>;
    constexpr int chunk = kTokensPerChunk<E>;
    const int lanes = lanes_for(length, chunk);
    const bool whole = are_chunks<chunk>(mask) && is_aligned(out) && length % chunk == 0;
    return enqueue(broadcast_rows<E, T>, grid_of(rows, lanes), stream, static_cast<const T*>(values), mask, rows,
                   length, whole, lanes, static_cast<E*>(out));
  });
}

}  // namespace gapo::cuda
