// Equal ids brought together: a number of few bits for each id, a stable radix sort of (number, row), then the
// positions at which a new number begins. The host does not know which bits of the ids themselves vary.
#include <cub/device/device_radix_sort.cuh>

#include "cuda/enqueue.h"
#include "cuda/id_table.h"
#include "cuda/launch.h"
#include "cuda/segments.h"

namespace gapo::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSumThreads = 1024;
constexpr int64_t kNumbersPerTile = int64_t{kThreads} * kNumbersPerThread;

int64_t tiles_of(int64_t n) { return (n + kNumbersPerTile - 1) / kNumbersPerTile; }

cudaError_t sort(void* temporary, std::size_t& bytes, const uint32_t* numbers, uint32_t* sorted_numbers,
                 const int32_t* rows, int32_t* sorted_rows, int64_t n, cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(temporary, bytes, numbers, sorted_numbers, rows, sorted_rows,
                                         static_cast<int>(n), 0, id_bits(n), stream);
}

// Where everything lies in the workspace, in bytes from its start.
struct Layout {
  std::size_t table, numbers, sorted, rows, counts, temporary, sort_bytes = 0, bytes;
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
  layout.table = take(table_bytes(n));
  layout.numbers = take(n * sizeof(uint32_t));
  layout.sorted = take(n * sizeof(uint32_t));
  layout.rows = take(n * sizeof(int32_t));
  layout.counts = take(tiles_of(n) * sizeof(uint32_t));
  layout.temporary = take(layout.sort_bytes);
  layout.bytes = end;
  return cudaSuccess;
}

__global__ void __launch_bounds__(kThreads)
    number_rows(const IdTable table, uint32_t* numbers, int32_t* rows, int64_t n) {
  follow_stream();
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= n) return;
  numbers[row] = table.number_of(static_cast<int32_t>(row));
  rows[row] = static_cast<int32_t>(row);
}

__global__ void __launch_bounds__(kThreads) count_segments(const Numbers numbers, uint32_t* counts) {
  follow_stream();
  __shared__ DeviceBlock<kThreads> block;
  count_heads(block, numbers, blockIdx.x, counts);
}

__global__ void __launch_bounds__(kSumThreads)
    sum_segments(uint32_t* counts, int64_t tiles, const SegmentedRows out, int32_t n) {
  follow_stream();
  __shared__ DeviceBlock<kSumThreads> block;
  const uint32_t total = sum_up(block, counts, tiles);
  if (threadIdx.x == 0) {
    *out.count = total;
    out.offsets[total] = n;
  }
}

__global__ void __launch_bounds__(kThreads)
    write_segments(const Numbers numbers, const uint32_t* counts, int32_t* offsets) {
  follow_stream();
  __shared__ DeviceBlock<kThreads> block;
  write_heads(block, numbers, blockIdx.x, counts[blockIdx.x], offsets);
}

}  // namespace

std::size_t sort_ids_workspace(int64_t n) {
  Layout layout;
  if (n <= kFewIds || n > INT32_MAX || lay_out(n, layout) != cudaSuccess) return 0;  // the launch says what is wrong
  return layout.bytes;
}

cudaError_t launch_sort_ids(const Ids& ids, int64_t n, const SegmentedRows& out, void* workspace, cudaStream_t stream) {
  if (n > INT32_MAX) return cudaErrorInvalidValue;
  if (n == 0) {
    if (const cudaError_t error = cudaMemsetAsync(out.offsets, 0, sizeof(int32_t), stream)) return error;
    return cudaMemsetAsync(out.count, 0, sizeof(int64_t), stream);
  }
  if (n <= kFewIds) return launch_few_ids(ids, n, out, stream);
  Layout layout;
  if (const cudaError_t error = lay_out(n, layout)) return error;
  auto* const memory = static_cast<unsigned char*>(workspace);
  auto* const table = reinterpret_cast<int32_t*>(memory + layout.table);
  auto* const numbers = reinterpret_cast<uint32_t*>(memory + layout.numbers);
  auto* const sorted_numbers = reinterpret_cast<uint32_t*>(memory + layout.sorted);
  auto* const rows = reinterpret_cast<int32_t*>(memory + layout.rows);

  if (const cudaError_t error = cudaMemsetAsync(table, kUnclaimed, table_bytes(n), stream)) return error;
  const Grid one_thread_a_row{static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads};
  const IdTable by_id{ids, table, id_bits(n)};
  if (const cudaError_t error = enqueue(number_rows, one_thread_a_row, stream, by_id, numbers, rows, n)) return error;
  if (const cudaError_t error =
          sort(memory + layout.temporary, layout.sort_bytes, numbers, sorted_numbers, rows, out.rows, n, stream)) {
    return error;
  }
  const Numbers sorted{sorted_numbers, n};
  const Grid tiles{static_cast<unsigned>(tiles_of(n)), kThreads};
  auto* const counts = reinterpret_cast<uint32_t*>(memory + layout.counts);
  if (const cudaError_t error = enqueue(count_segments, tiles, stream, sorted, counts)) return error;
  if (const cudaError_t error =
          enqueue(sum_segments, {1, kSumThreads}, stream, counts, tiles_of(n), out, static_cast<int32_t>(n))) {
    return error;
  }
  return enqueue(write_segments, tiles, stream, sorted, counts, out.offsets);
}

}  // namespace gapo::cuda
