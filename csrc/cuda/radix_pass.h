// One pass of a stable radix sort of (number, row) by a digit of the numbers, by all blocks of a cooperative launch.
//
// A block has a run of neighbouring tiles, a column of the table of digits. Every block counts its run's digits; the
// table's rows are summed up, a warp each; then every block knows where its rows of each digit go.
#pragma once

#include <cstdint>

#include "cuda/block.h"

namespace gapo::cuda {
namespace {

inline constexpr int kPassThreads = 512;
inline constexpr int kRowsOfThread = 4;  // of a tile
inline constexpr int kPassTile = kPassThreads * kRowsOfThread;
inline constexpr int kMostDigitBits = 10;
inline constexpr int kMostDigits = 1 << kMostDigitBits;

using PassBlock = DeviceBlock<kPassThreads>;

struct Digits {
  int shift, bits;

  __device__ uint32_t count() const { return 1u << bits; }
  __device__ uint32_t of(uint32_t number) const { return number >> shift & (count() - 1); }
};

// Which tiles a block takes: as many as any other, but for the last ones.
struct TileRuns {
  int64_t rows;
  int64_t length;  // of a run, in rows, a multiple of a tile
  int columns;     // blocks that have any

  TileRuns(int64_t n, int64_t blocks) : rows(n) {
    const int64_t tiles = divide_up(n, kPassTile), run = divide_up(tiles, blocks);
    length = run * kPassTile;
    columns = static_cast<int>(divide_up(tiles, run));
  }
  __device__ int64_t begin(int column) const { return column * length; }
  __device__ int64_t end(int column) const { return begin(column) + length < rows ? begin(column) + length : rows; }
};

struct RunTable {
  uint32_t* counts;  // [digits, columns], then the sums of those before in the row
  uint32_t* totals;  // [digits]
};

struct Pairs {
  uint32_t* numbers;
  int32_t* rows;  // null: row i is i
};

// In the block's own memory. A warp's ranks: how many of its rows of the tile have a digit, then how many rows of the
// tile's earlier warps.
struct PassMemory {
  uint16_t ranks[PassBlock::kWarps][kMostDigits];
  uint32_t base[kMostDigits];
};
static_assert(kPassTile <= UINT16_MAX);

// number_at(i): the number in place i, each asked for once; keep(i, number): puts it there, once some have been read.
// The blocks meet afterwards.
template <typename NumberAt, typename Keep>
__device__ void count_runs(const PassBlock& block, const TileRuns& runs, const Digits& digits, NumberAt number_at,
                           Keep keep, PassMemory& memory, const RunTable& table) {
  if (block.rank >= runs.columns) return;
  const int thread = Thread::index();
  uint32_t* const own = memory.base;
  for (uint32_t digit = thread; digit < digits.count(); digit += kPassThreads) own[digit] = 0;
  __syncthreads();
  const int64_t end = runs.end(block.rank);
#pragma unroll 1
  for (int64_t first = runs.begin(block.rank) + thread; first < end; first += kPassTile) {
    uint32_t numbers[kRowsOfThread];
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const int64_t i = first + r * kPassThreads;
      if (i < end) numbers[r] = number_at(i);
    }
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const int64_t i = first + r * kPassThreads;
      if (i >= end) break;
      keep(i, numbers[r]);
      atomic_add(own + digits.of(numbers[r]), 1u);
    }
  }
  __syncthreads();
  for (uint32_t digit = thread; digit < digits.count(); digit += kPassThreads) {
    table.counts[int64_t{digit} * runs.columns + block.rank] = own[digit];
  }
}

// Turns each digit's counts into the sums of the runs before, and its total; one warp per digit.
__device__ inline void sum_runs(const PassBlock& block, const TileRuns& runs, const Digits& digits,
                                const RunTable& table) {
  constexpr uint32_t kWarps = PassBlock::kWarps;
  const int lane = Thread::index() % kWarp;
  for (uint32_t digit = block.rank * kWarps + Thread::index() / kWarp; digit < digits.count();
       digit += block.count * kWarps) {
    uint32_t* const row = table.counts + int64_t{digit} * runs.columns;
    uint32_t before = 0;
    constexpr int batch = 4;
#pragma unroll 1
    for (int first = 0; first < runs.columns; first += batch * kWarp) {
      uint32_t own[batch];
#pragma unroll
      for (int b = 0; b < batch; ++b) {
        const int column = first + b * kWarp + lane;
        own[b] = column < runs.columns ? row[column] : 0;
      }
#pragma unroll
      for (int b = 0; b < batch; ++b) {
        const int column = first + b * kWarp + lane;
        const uint32_t sum = inclusive_sum(own[b], lane);
        if (column < runs.columns) row[column] = before + sum - own[b];
        before += Thread::from(sum, kWarp - 1);
      }
    }
    if (lane == 0) table.totals[digit] = before;
  }
}

// Moves the block's pairs to their places. begin_digit(digit, place): called by one thread of each block for every
// digit, with the place of the first pair of it.
template <typename BeginDigit>
__device__ void move_runs(PassBlock& block, const TileRuns& runs, const Digits& digits, const RunTable& table,
                          const Pairs& from, const Pairs& to, PassMemory& memory, BeginDigit begin_digit) {
  if (block.rank >= runs.columns) return;
  constexpr int kOwnDigits = kMostDigits / kPassThreads;
  static_assert(kMostDigits % kPassThreads == 0);
  const int thread = Thread::index(), warp = thread / kWarp, lane = thread % kWarp;
  const auto each_own_digit = [&](auto visit) {
#pragma unroll
    for (int j = 0; j < kOwnDigits; ++j) {
      const uint32_t digit = thread * kOwnDigits + j;
      if (digit < digits.count()) visit(j, digit);
    }
  };
  uint32_t next[kOwnDigits];  // where the block's next pair of a digit goes
  block.scan(
      [&](int) {
        uint32_t own = 0;
        each_own_digit([&](int, uint32_t digit) { own += table.totals[digit]; });
        return own;
      },
      [&](int, uint32_t before) {
        each_own_digit([&](int j, uint32_t digit) {
          begin_digit(digit, before);
          next[j] = before + table.counts[int64_t{digit} * runs.columns + block.rank];
          before += table.totals[digit];
        });
      });
  const int64_t end = runs.end(block.rank);
#pragma unroll 1
  for (int64_t tile = runs.begin(block.rank); tile < end; tile += kPassTile) {
    uint32_t numbers[kRowsOfThread];
    int32_t rows[kRowsOfThread];
    const int64_t first = tile + warp * (kWarp * kRowsOfThread) + lane;  // a warp's rows are neighbours
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const int64_t i = first + r * kWarp;
      if (i >= end) continue;
      numbers[r] = from.numbers[i];
      rows[r] = from.rows != nullptr ? from.rows[i] : static_cast<int32_t>(i);
    }
    for (uint32_t digit = lane; digit < digits.count(); digit += kWarp) memory.ranks[warp][digit] = 0;
    __syncwarp();
    uint32_t ranks[kRowsOfThread];
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const bool exists = first + r * kWarp < end;
      const uint32_t digit = exists ? digits.of(numbers[r]) : kMostDigits;
      const uint32_t equal = Thread::equal(digit), earlier = equal & ((1u << lane) - 1);
      const uint32_t before = exists ? memory.ranks[warp][digit] : 0;
      __syncwarp();
      if (exists && earlier == 0) memory.ranks[warp][digit] = static_cast<uint16_t>(before + __popc(equal));
      __syncwarp();
      ranks[r] = before + __popc(earlier);
    }
    __syncthreads();
    each_own_digit([&](int j, uint32_t digit) {
      uint32_t sum = 0;
#pragma unroll 4
      for (int w = 0; w < PassBlock::kWarps; ++w) {
        const uint32_t own = memory.ranks[w][digit];
        memory.ranks[w][digit] = static_cast<uint16_t>(sum);
        sum += own;
      }
      memory.base[digit] = next[j];
      next[j] += sum;
    });
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      if (first + r * kWarp >= end) continue;
      const uint32_t digit = digits.of(numbers[r]);
      const uint32_t place = memory.base[digit] + memory.ranks[warp][digit] + ranks[r];
      to.numbers[place] = numbers[r];
      to.rows[place] = rows[r];
    }
    __syncthreads();  // the next tile's ranks take the place of these
  }
}

}  // namespace
}  // namespace gapo::cuda
