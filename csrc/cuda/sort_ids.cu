// Equal ids brought together, more than one block can hold (few_ids.cu), in one cooperative launch: a hash table gives
// ids numbers without gaps, a stable radix sort brings rows of one number together. The host knows neither the ids'
// bits nor how many there are: the blocks find out how many digits the numbers have.
#include <algorithm>

#include "cuda/enqueue.h"
#include "cuda/id_table.h"
#include "cuda/launch.h"
#include "cuda/radix_pass.h"

namespace gapo::cuda {
namespace {

// At the front of the workspace, 0 at the start.
struct Control {
  uint32_t arrivals;
  uint32_t count;  // ids that differ
};

struct SortCall {
  IdTable table;
  TileRuns runs;
  Control* control;
  uint32_t* id_numbers;  // [n], of rows that own their id in the table
  uint32_t* numbers;     // [n], of each row, first its owner
  Pairs spare;           // [n]
  RunTable digits;
  SegmentedRows out;
};

// Numbers the ids from 0 on, in the order of chance, and writes down each row's owner.
__device__ void number_ids(PassBlock& block, const SortCall& call) {
  __shared__ uint32_t first_number;
  const int64_t n = call.runs.rows;
#pragma unroll 1
  for (int64_t first = int64_t{block.rank} * kPassThreads; first < n; first += int64_t{block.count} * kPassThreads) {
    const int64_t row = first + Thread::index();
    const int64_t id = row < n ? call.table.ids[row] : 0;
    // One lane asks for all of its warp that have its id, the lowest, behind which those without a row lie: all lanes
    // of all warps would claim one place, one after the other, where few ids differ.
    const int asks = lowest_bit(Thread::equal(id));
    int32_t owner = 0;
    if (row < n && Thread::index() % kWarp == asks) owner = call.table.find(static_cast<int32_t>(row), id).owner;
    owner = Thread::from(owner, asks);
    const bool is_owner = row < n && owner == row;
    if (row < n) call.numbers[row] = static_cast<uint32_t>(owner);
    uint32_t own = 0;
    const uint32_t owners =
        block.scan([&](int) { return uint32_t{is_owner}; }, [&](int, uint32_t before) { own = before; });
    block.each([&](int thread) {
      if (thread == 0) first_number = atomic_add(&call.control->count, owners);
    });
    if (is_owner) call.id_numbers[row] = first_number + own;
  }
}

// Where a number begins in the sorted ones, its segment does.
__device__ void write_offsets(const PassBlock& block, const uint32_t* sorted, const SortCall& call) {
  const int64_t n = call.runs.rows;
  for (int64_t i = int64_t{block.rank} * kPassThreads + Thread::index(); i < n;
       i += int64_t{block.count} * kPassThreads) {
    if (i == 0 || sorted[i] != sorted[i - 1]) call.out.offsets[sorted[i]] = static_cast<int32_t>(i);
  }
}

__global__ void __launch_bounds__(kPassThreads, 2) sort_ids(const __grid_constant__ SortCall call) {
  follow_stream_ahead();
  __shared__ PassBlock block;
  __shared__ PassMemory memory;
  block.each([&](int thread) {
    if (thread > 0) return;
    block.rank = static_cast<int>(blockIdx.x);
    block.count = static_cast<int>(gridDim.x);
    block.is_cluster = false;
    block.arrivals = &call.control->arrivals;
    block.expected = 0;
  });
  number_ids(block, call);
  block.meet();

  const uint32_t count = atomic_peek(&call.control->count);
  const int bits = count > 1 ? 32 - __clz(static_cast<int>(count - 1)) : 1;
  const int passes = divide_up(bits, kMostDigitBits);
  Digits digits{0, divide_up(bits, passes)};
  Pairs from{call.numbers, nullptr}, to{call.spare.numbers, passes % 2 == 1 ? call.out.rows : call.spare.rows};
#pragma unroll 1
  for (int pass = 0; pass < passes; ++pass, digits.shift += digits.bits) {
    const auto number_at = [&](int64_t i) {
      const uint32_t found = from.numbers[i];
      return pass == 0 ? call.id_numbers[found] : found;
    };
    const auto keep = [&](int64_t i, uint32_t number) {
      if (pass == 0) from.numbers[i] = number;
    };
    count_runs(block, call.runs, digits, number_at, keep, memory, call.digits);
    block.meet();
    sum_runs(block, call.runs, digits, call.digits);
    block.meet();
    move_runs(block, call.runs, digits, call.digits, from, to, memory, [&](uint32_t digit, uint32_t place) {
      if (passes == 1 && block.rank == 0 && digit < count) call.out.offsets[digit] = static_cast<int32_t>(place);
    });
    if (passes > 1) block.meet();
    uint32_t* const free_numbers = from.numbers;
    from = to;
    to = {free_numbers, to.rows == call.out.rows ? call.spare.rows : call.out.rows};
  }
  if (passes > 1) write_offsets(block, from.numbers, call);
  if (block.rank == 0 && Thread::index() == 0) {
    call.out.offsets[count] = static_cast<int32_t>(call.runs.rows);
    *call.out.count = count;
  }
}

// Where everything lies in the workspace, in bytes from its start.
struct Plan {
  unsigned blocks = 0;
  std::size_t table = 0, id_numbers = 0, numbers = 0, spare_numbers = 0, spare_rows = 0, counts = 0, totals = 0;
  Workspace workspace;
};

cudaError_t plan_for(int64_t n, Plan& plan) {
  int64_t blocks = 0;
  if (const cudaError_t error = blocks_at_once(sort_ids, kPassThreads, 0, blocks)) return error;
  plan.blocks = static_cast<unsigned>(std::min(blocks, divide_up(n, kPassThreads)));
  Workspace& space = plan.workspace;
  space.take(sizeof(Control));
  plan.table = space.take(table_bytes(n));
  space.cleared = space.bytes;
  plan.id_numbers = space.take(n * sizeof(uint32_t));
  plan.numbers = space.take(n * sizeof(uint32_t));
  plan.spare_numbers = space.take(n * sizeof(uint32_t));
  plan.spare_rows = space.take(n * sizeof(int32_t));
  plan.counts = space.take(std::size_t{kMostDigits} * TileRuns(n, plan.blocks).columns * sizeof(uint32_t));
  plan.totals = space.take(kMostDigits * sizeof(uint32_t));
  return cudaSuccess;
}

}  // namespace

Workspace sort_ids_workspace(int64_t n) {
  Plan plan;
  if (n <= kFewIds || plan_for(n, plan) != cudaSuccess) return {};  // the launch says what is wrong
  return plan.workspace;
}

cudaError_t launch_sort_ids(const Ids& ids, int64_t n, const SegmentedRows& out, void* workspace, cudaStream_t stream) {
  if (n <= kFewIds) return launch_few_ids(ids, n, out, stream);
  Plan plan;
  if (const cudaError_t error = plan_for(n, plan)) return error;
  auto* const memory = static_cast<unsigned char*>(workspace);
  const auto words = [&](std::size_t place) { return reinterpret_cast<uint32_t*>(memory + place); };
  const auto rows = [&](std::size_t place) { return reinterpret_cast<int32_t*>(memory + place); };
  const SortCall call{{ids, rows(plan.table), table_bits(n)},
                      TileRuns(n, plan.blocks),
                      reinterpret_cast<Control*>(memory),
                      words(plan.id_numbers),
                      words(plan.numbers),
                      {words(plan.spare_numbers), rows(plan.spare_rows)},
                      {words(plan.counts), words(plan.totals)},
                      out};
  return enqueue(sort_ids, {plan.blocks, kPassThreads, 0, true}, stream, call);
}

}  // namespace gapo::cuda
