// Equal ids brought together: a stable radix sort of (id, row), then the positions at which a new id begins.
#include <cub/device/device_radix_sort.cuh>

#include "cuda/launch.h"
#include "cuda/segments.h"

namespace gapo::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSumThreads = 1024;
constexpr int64_t kIdsPerTile = int64_t{kThreads} * kIdsPerThread;

int64_t id_tiles(int64_t n) { return (n + kIdsPerTile - 1) / kIdsPerTile; }

cudaError_t sort(void* temporary, std::size_t& bytes, const int64_t* ids, int64_t* sorted_ids, const int32_t* rows,
                 int32_t* sorted_rows, int64_t n, cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(temporary, bytes, ids, sorted_ids, rows, sorted_rows, static_cast<int>(n), 0,
                                         64, stream);
}

// Where everything lies in the workspace, in bytes from its start.
struct Layout {
  std::size_t ids, rows, counts, temporary, sort_bytes = 0, bytes;
};

cudaError_t lay_out(int64_t n, Layout& layout) {
  if (const cudaError_t error = sort(nullptr, layout.sort_bytes, nullptr, nullptr, nullptr, nullptr, n, nullptr)) {
    return error;
  }
  std::size_t end = 0;
  const auto take = [&](std::size_t bytes) {
    const std::size_t place = end;
    end += aligned(bytes);
    return place;
  };
  layout.ids = take(n * sizeof(int64_t));
  layout.rows = take(n * sizeof(int32_t));
  layout.counts = take(id_tiles(n) * sizeof(uint32_t));
  layout.temporary = take(layout.sort_bytes);
  layout.bytes = end;
  return cudaSuccess;
}

__global__ void __launch_bounds__(kThreads) number_rows(int32_t* rows, int64_t n) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row < n) rows[row] = static_cast<int32_t>(row);
}

template <int kBlockThreads>
__device__ void begin_alone(DeviceBlock<kBlockThreads>& block) {
  if (threadIdx.x == 0) {
    block.rank = 0;
    block.count = 1;
  }
  __syncthreads();
}

__global__ void __launch_bounds__(kThreads) count_segments(const Ids ids, uint32_t* counts) {
  __shared__ DeviceBlock<kThreads> block;
  begin_alone(block);
  count_heads(block, ids, blockIdx.x, counts);
}

__global__ void __launch_bounds__(kSumThreads)
    sum_segments(uint32_t* counts, int64_t tiles, const SegmentedRows out, int32_t n) {
  __shared__ DeviceBlock<kSumThreads> block;
  begin_alone(block);
  const uint32_t total = sum_up(block, counts, tiles);
  if (threadIdx.x == 0) {
    *out.count = total;
    out.offsets[total] = n;
  }
}

__global__ void __launch_bounds__(kThreads) write_segments(const Ids ids, const uint32_t* counts, int32_t* offsets) {
  __shared__ DeviceBlock<kThreads> block;
  begin_alone(block);
  write_heads(block, ids, blockIdx.x, counts[blockIdx.x], offsets);
}

}  // namespace

std::size_t sort_ids_workspace(int64_t n) {
  Layout layout;
  if (n == 0 || n > INT32_MAX || lay_out(n, layout) != cudaSuccess) return 0;  // the launch says what is wrong
  return layout.bytes;
}

cudaError_t launch_sort_ids(const int64_t* ids, int64_t n, const SegmentedRows& out, void* workspace,
                            cudaStream_t stream) {
  if (n > INT32_MAX) return cudaErrorInvalidValue;
  if (n == 0) {
    if (const cudaError_t error = cudaMemsetAsync(out.offsets, 0, sizeof(int32_t), stream)) return error;
    return cudaMemsetAsync(out.count, 0, sizeof(int64_t), stream);
  }
  Layout layout;
  if (const cudaError_t error = lay_out(n, layout)) return error;
  auto* const memory = static_cast<unsigned char*>(workspace);
  auto* const sorted_ids = reinterpret_cast<int64_t*>(memory + layout.ids);
  auto* const rows = reinterpret_cast<int32_t*>(memory + layout.rows);
  void* const temporary = memory + layout.temporary;

  number_rows<<<static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, 0, stream>>>(rows, n);
  if (const cudaError_t error = cudaGetLastError()) return error;
  if (const cudaError_t error = sort(temporary, layout.sort_bytes, ids, sorted_ids, rows, out.rows, n, stream)) {
    return error;
  }
  const Ids sorted{sorted_ids, n};
  const int64_t tiles = id_tiles(n);
  auto* const counts = reinterpret_cast<uint32_t*>(memory + layout.counts);
  count_segments<<<static_cast<unsigned>(tiles), kThreads, 0, stream>>>(sorted, counts);
  if (const cudaError_t error = cudaGetLastError()) return error;
  sum_segments<<<1, kSumThreads, 0, stream>>>(counts, tiles, out, static_cast<int32_t>(n));
  if (const cudaError_t error = cudaGetLastError()) return error;
  write_segments<<<static_cast<unsigned>(tiles), kThreads, 0, stream>>>(sorted, counts, out.offsets);
  return cudaGetLastError();
}

}  // namespace gapo::cuda
