// Equal ids brought together: a stable radix sort of (id, row), then the segments' heads numbered by a scan.
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "cuda/launch.h"

namespace gapo::cuda {
namespace {

constexpr int kThreads = 256;

// Where everything lies in the workspace, in bytes from its start. The scan starts when the sort is over, and borrows
// its place.
struct Layout {
  std::size_t ids, rows, heads, temporary, sort_bytes = 0, scan_bytes = 0, bytes;
};

cudaError_t sort(void* temporary, std::size_t& bytes, const int64_t* ids, int64_t* sorted_ids, const int32_t* rows,
                 int32_t* sorted_rows, int64_t n, cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(temporary, bytes, ids, sorted_ids, rows, sorted_rows, static_cast<int>(n), 0,
                                         64, stream);
}

cudaError_t scan(void* temporary, std::size_t& bytes, int32_t* heads, int64_t n, cudaStream_t stream) {
  return cub::DeviceScan::InclusiveSum(temporary, bytes, heads, heads, static_cast<int>(n), stream);
}

cudaError_t lay_out(int64_t n, Layout& layout) {
  if (const cudaError_t error = sort(nullptr, layout.sort_bytes, nullptr, nullptr, nullptr, nullptr, n, nullptr)) {
    return error;
  }
  if (const cudaError_t error = scan(nullptr, layout.scan_bytes, nullptr, n, nullptr)) return error;
  std::size_t end = 0;
  const auto take = [&](std::size_t bytes) {
    const std::size_t place = end;
    end += aligned(bytes);
    return place;
  };
  layout.ids = take(n * sizeof(int64_t));
  layout.rows = take(n * sizeof(int32_t));
  layout.heads = take(n * sizeof(int32_t));
  layout.temporary = take(layout.sort_bytes > layout.scan_bytes ? layout.sort_bytes : layout.scan_bytes);
  layout.bytes = end;
  return cudaSuccess;
}

__global__ void __launch_bounds__(kThreads) number_rows(int32_t* rows, int64_t n) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row < n) rows[row] = static_cast<int32_t>(row);
}

// 1 where an id differs from the one before it.
__global__ void __launch_bounds__(kThreads) mark_heads(const int64_t* ids, int64_t n, int32_t* heads) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) heads[i] = i == 0 || ids[i] != ids[i - 1];
}

// numbers: of each position's segment, from 1 on.
__global__ void __launch_bounds__(kThreads) write_offsets(const int32_t* numbers, int64_t n, SegmentedRows out) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  if (i == 0 || numbers[i] != numbers[i - 1]) out.offsets[numbers[i] - 1] = static_cast<int32_t>(i);
  if (i == n - 1) {
    out.offsets[numbers[i]] = static_cast<int32_t>(n);
    *out.count = numbers[i];
  }
}

}  // namespace

std::size_t sort_ids_workspace(int64_t n) {
  Layout layout;
  if (n == 0 || lay_out(n, layout) != cudaSuccess) return 0;  // the launch meets the same error and returns it
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
  auto* const heads = reinterpret_cast<int32_t*>(memory + layout.heads);
  void* const temporary = memory + layout.temporary;
  const auto blocks = static_cast<unsigned>((n + kThreads - 1) / kThreads);

  number_rows<<<blocks, kThreads, 0, stream>>>(rows, n);
  if (const cudaError_t error = cudaGetLastError()) return error;
  if (const cudaError_t error = sort(temporary, layout.sort_bytes, ids, sorted_ids, rows, out.rows, n, stream)) {
    return error;
  }
  mark_heads<<<blocks, kThreads, 0, stream>>>(sorted_ids, n, heads);
  if (const cudaError_t error = cudaGetLastError()) return error;
  if (const cudaError_t error = scan(temporary, layout.scan_bytes, heads, n, stream)) return error;
  write_offsets<<<blocks, kThreads, 0, stream>>>(heads, n, out);
  return cudaGetLastError();
}

}  // namespace gapo::cuda
