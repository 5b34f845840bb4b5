// Sorts kLanes columns side by side: one group a column, one vector a row, no data-dependent branch.
//
// Blocks of kBlock rows are sorted in registers, then runs are merged bitonically with the second run read backwards,
// so that every comparator puts the smaller value in the lower row. Rows that pad the last block up hold +inf: they are
// never moved down, and blocks beyond the last are not touched at all.
#pragma once

#include "cpu/network.h"

namespace gapo {
namespace {

// Sorts one block whose first `rows` rows hold values; the rest are padding and stay.
template <int N, typename V>
GAPO_INLINE void sort_block(V* block, int64_t rows) {
  if constexpr (N > 1) {
    if (rows == N) return run_on_rows<kSortNetwork<N>, N>(block);
    sort_block<N - 1>(block, rows);
  }
}

// Compares two blocks row by row and merges each of them within, the lower one without leaving the registers.
// kReversed reads the upper block from its last row to its first.
template <bool kReversed, typename V>
GAPO_INLINE void exchange_and_merge(V* lower, V* upper) {
  V low[kBlock];
#pragma GCC unroll 16
  for (int i = 0; i < kBlock; ++i) {
    V& partner = upper[kReversed ? kBlock - 1 - i : i];
    low[i] = lower[i];
    exchange(low[i], partner);
  }
  run_network<kMergeNetwork<kBlock>>(low, std::make_index_sequence<kMergeNetwork<kBlock>.size>{});
#pragma GCC unroll 16
  for (int i = 0; i < kBlock; ++i) lower[i] = low[i];
  run_on_rows<kMergeNetwork<kBlock>, kBlock>(upper);
}

template <typename V>
GAPO_INLINE void exchange_blocks(V* lower, V* upper) {
#pragma GCC unroll 16
  for (int i = 0; i < kBlock; ++i) exchange(lower[i], upper[i]);
}

template <typename V>
GAPO_INLINE void exchange_blocks_reversed(V* lower, V* upper) {
#pragma GCC unroll 16
  for (int i = 0; i < kBlock; ++i) exchange(lower[i], upper[kBlock - 1 - i]);
}

// Sorts each column of columns[0 .. rows); the rows from there to the next multiple of kBlock must hold +inf.
template <typename V>
void sort_columns(V* columns, int64_t rows) {
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t left = rows - b * kBlock;
    sort_block<kBlock>(columns + b * kBlock, left < kBlock ? left : kBlock);
  }
  const auto block = [&](int64_t b) { return columns + b * kBlock; };
  for (int64_t run = 1; run < blocks; run *= 2) {  // in blocks: merge runs b .. b+run and b+run .. b+2*run
    for (int64_t first = 0; first < blocks; first += 2 * run) {
      const int64_t end = first + 2 * run < blocks ? first + 2 * run : blocks;
      if (first + run >= end) {
        continue;  // a run without a partner is sorted already
      }
      if (run == 1) {
        exchange_and_merge<true>(block(first), block(first + 1));
        continue;
      }
      for (int64_t i = 0; i < run; ++i) {
        const int64_t partner = first + 2 * run - 1 - i;
        if (partner < end) exchange_blocks_reversed(block(first + i), block(partner));
      }
      for (int64_t stride = run / 2; stride > 1; stride /= 2) {
        for (int64_t base = first; base + stride < end; base += 2 * stride) {
          for (int64_t i = base; i < base + stride && i + stride < end; ++i)
            exchange_blocks(block(i), block(i + stride));
        }
      }
      for (int64_t b = first; b < end; b += 2) {
        if (b + 1 < end) {
          exchange_and_merge<false>(block(b), block(b + 1));
        } else {
          run_on_rows<kMergeNetwork<kBlock>, kBlock>(block(b));
        }
      }
    }
  }
}

}  // namespace
}  // namespace gapo
