// Sorts kLanes columns side by side: one group a column, one vector a row, no data-dependent branch.
//
// Blocks of kBlock rows are sorted in registers, then runs are merged bitonically with the second run read backwards,
// so that every comparator puts the smaller value in the lower row. Rows that pad the last block up hold +inf: they are
// never moved down, and blocks beyond the last are not touched at all.
#pragma once

#include "cpu/merge_rows.h"

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

// Sorts each column of columns[0 .. rows); the rows from there to the next multiple of kBlock must hold +inf.
template <typename V>
void sort_columns(V* columns, int64_t rows) {
  const int64_t padded = divide_up(rows, kBlock) * kBlock;
  for (int64_t first = 0; first < rows; first += kBlock) {
    sort_block<kBlock>(columns + first, rows - first < kBlock ? rows - first : kBlock);
  }
  for (int64_t run = kBlock; run < padded; run *= 2) {
    for (int64_t first = 0; first + run < padded; first += 2 * run) {  // a run without a partner is sorted already
      merge_rows<true>(columns + first, padded - first < 2 * run ? padded - first : 2 * run, 2 * run);
    }
  }
}

}  // namespace
}  // namespace gapo
