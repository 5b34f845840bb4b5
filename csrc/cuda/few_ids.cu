// Equal ids brought together where one block can hold them all; sort_ids.cu takes the whole GPU.
#include <algorithm>
#include <cub/block/block_radix_sort.cuh>

#include "cuda/block.h"
#include "cuda/enqueue.h"
#include "cuda/id_table.h"
#include "cuda/launch.h"

namespace gapo::cuda {
namespace {

constexpr std::size_t kSharedUnasked = 48 << 10;  // shared memory that a block may have without opting in

// Four bits per pass: two passes serve up to 256 ids. With eight rows per thread five bits, which serve up to 1,024 ids
// although a pass costs more; its counters do not stay in registers between the two scans of a pass, or some would
// spill.
template <int kRows>
constexpr bool kManyIds = kRows == 8;
template <int kThreads, int kRows>
using Sort = cub::BlockRadixSort<uint32_t, kThreads, kRows, int32_t, (kManyIds<kRows> ? 5 : 4), (!kManyIds<kRows>)>;

// One after the other in the same memory: the table of ids, the sort, each thread's last number.
template <int kThreads, int kRows>
constexpr std::size_t memory_bytes(int64_t n) {
  return std::max({table_bytes(n), sizeof(typename Sort<kThreads, kRows>::TempStorage), kThreads * sizeof(uint32_t)});
}

// One block; kRows: of a thread, neighbours.
template <int kThreads, int kRows>
__global__ void __launch_bounds__(kThreads) sort_few_ids(const Ids ids, int32_t n, const SegmentedRows out) {
  follow_stream_ahead();
  extern __shared__ __align__(16) unsigned char memory[];
  static_assert(alignof(typename Sort<kThreads, kRows>::TempStorage) <= 16);
  __shared__ DeviceBlock<kThreads> block;
  const int thread = static_cast<int>(threadIdx.x), first = thread * kRows;

  const IdTable table{ids, reinterpret_cast<int32_t*>(memory), table_bits(n)};
  const int places = 1 << table.bits;
  for (int place = thread; place < places; place += kThreads) table.claims[place] = kUnclaimed;
  __syncthreads();
  int64_t own[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) own[i] = first + i < n ? ids[first + i] : 0;  // at once, not search by search
  uint32_t numbers[kRows];
  int32_t rows[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    rows[i] = first + i;
    if (rows[i] < n) numbers[i] = table.find(rows[i], own[i]).place;
  }
  __syncthreads();

  // numbers without gaps: fewer bits to sort, and each is its segment's
  const auto each_id = [&](auto visit) {
    for (int place = thread; place < places; place += kThreads) {
      if (table.claims[place] != kUnclaimed) visit(table.claims[place]);
    }
  };
  const uint32_t count = block.scan(
      [&](int) {
        uint32_t own = 0;
        each_id([&](int32_t) { ++own; });
        return own;
      },
      [&](int, uint32_t before) { each_id([&](int32_t& claim) { claim = static_cast<int32_t>(before++); }); });
#pragma unroll
  for (int i = 0; i < kRows; ++i) numbers[i] = rows[i] < n ? table.claims[numbers[i]] : count;  // no row: last
  __syncthreads();

  Sort<kThreads, kRows>(reinterpret_cast<typename Sort<kThreads, kRows>::TempStorage&>(memory))
      .Sort(numbers, rows, 0, 32 - __clz(count));
  __syncthreads();
  auto* const last = reinterpret_cast<uint32_t*>(memory);
  last[thread] = numbers[kRows - 1];
  __syncthreads();
  uint32_t before = thread > 0 ? last[thread - 1] : count;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    if (first + i < n) {
      out.rows[first + i] = rows[i];
      if (numbers[i] != before) out.offsets[numbers[i]] = first + i;
      before = numbers[i];
    }
  }
  if (thread == 0) {
    out.offsets[count] = n;
    *out.count = count;
  }
}

template <int kThreads, int kRows>
cudaError_t launch(const Ids& ids, int64_t n, const SegmentedRows& out, cudaStream_t stream) {
  static_assert(kThreads * kRows <= kFewIds);
  const std::size_t bytes = memory_bytes<kThreads, kRows>(n);
  constexpr std::size_t most = memory_bytes<kThreads, kRows>(kThreads * kRows);
  if constexpr (most + sizeof(DeviceBlock<kThreads>) > kSharedUnasked) {
    // what the largest call needs: launches of other threads and graphs go by it as well
    if (const cudaError_t error =
            cudaFuncSetAttribute(sort_few_ids<kThreads, kRows>, cudaFuncAttributeMaxDynamicSharedMemorySize, most)) {
      return error;
    }
  }
  return enqueue(sort_few_ids<kThreads, kRows>, {1, kThreads, bytes}, stream, ids, static_cast<int32_t>(n), out);
}

}  // namespace

cudaError_t launch_few_ids(const Ids& ids, int64_t n, const SegmentedRows& out, cudaStream_t stream) {
  return n <= 256 * 4    ? launch<256, 4>(ids, n, out, stream)
         : n <= 1024 * 4 ? launch<1024, 4>(ids, n, out, stream)
                         : launch<1024, 8>(ids, n, out, stream);
}

}  // namespace gapo::cuda
