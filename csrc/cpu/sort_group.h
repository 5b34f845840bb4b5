// Sorts one group with all lanes: its rewards are dealt to kLanes columns, which are sorted side by side; then runs of
// lanes are merged bitonically, between lanes first and down the rows after that. At the end lane l holds the ranks
// l * rows and following. No branch depends on data.
#pragma once

#include "cpu/buffer.h"
#include "cpu/sort_columns.h"

namespace gapo {
namespace {

// Lane l of the result is lane l ^ kMask.
template <int kMask, typename V, std::size_t... I>
GAPO_INLINE V swap_lanes(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I ^ kMask)...);
}

// Lane l is that of `set` where l has kBit, of `clear` elsewhere.
template <int kBit, typename V, std::size_t... I>
GAPO_INLINE V choose_lanes(V clear, V set, std::index_sequence<I...>) {
  return __builtin_shufflevector(clear, set, (I & kBit ? I + sizeof...(I) : I)...);
}

// Sorts what is bitonic over 2 * kStride lanes at one row.
template <int kStride, typename V, typename Lanes>
GAPO_INLINE V merge_lanes(V row, Lanes lanes) {
  if constexpr (kStride > 0) {
    const V other = swap_lanes<kStride>(row, lanes);
    return merge_lanes<kStride / 2>(choose_lanes<kStride>(min(row, other), max(row, other), lanes), lanes);
  } else {
    return row;
  }
}

// The least number of rows that merge_rows takes, that hold n values, and that can be transposed at the end.
template <typename T>
int64_t merged_rows(int64_t n) {
  const int64_t filled = divide_up(n, kLanes<T>);
  const int64_t rows = filled < kLanes<T> ? kLanes<T> : filled;
  int64_t step = kStep;
  while (8 * step < rows) step *= 2;
  const int64_t steps = divide_up(rows, step);
  return (steps < 5 ? 5 : steps) * step;
}

// Merges sorted runs of kRun lanes, two by two, until one run is left.
template <int kRun, typename T>
void merge_runs(Vec<T>* columns, int64_t rows) {
  if constexpr (kRun < kLanes<T>) {
    constexpr std::make_index_sequence<kLanes<T>> lanes;
    constexpr int mirror = 2 * kRun - 1;
    for (int64_t i = 0; i < (rows + 1) / 2; ++i) {  // the second run is read backwards
      Vec<T>& top = columns[i];
      Vec<T>& bottom = columns[rows - 1 - i];
      const Vec<T> partner = swap_lanes<mirror>(bottom, lanes);
      const Vec<T> low = min(top, partner), high = max(top, partner);
      top = merge_lanes<kRun / 2>(choose_lanes<kRun>(low, high, lanes), lanes);
      bottom = merge_lanes<kRun / 2>(swap_lanes<mirror>(choose_lanes<kRun>(high, low, lanes), lanes), lanes);
    }
    merge_rows<false>(columns, rows, rows);
    merge_runs<2 * kRun, T>(columns, rows);
  }
}

// Writes values[0 .. n) in ascending order to sorted; the two may be the same array. NaN is not expected.
template <typename T>
void sort_group(const T* values, T* sorted, int64_t n) {
  constexpr int width = kLanes<T>;
  const int64_t rows = merged_rows<T>(n), filled = divide_up(n, width);
  const int64_t padded = divide_up(rows, kBlock) * kBlock;
  Buffer<Vec<T>> columns(padded);
  for (int64_t row = n / width; row < padded; ++row) columns[row] = splat(std::numeric_limits<T>::infinity());
  std::memcpy(columns.data(), values, static_cast<std::size_t>(n) * sizeof(T));
  sort_columns(columns.data(), filled);
  merge_runs<1, T>(columns.data(), rows);
  for (int64_t row = 0; row < rows; row += width) {
    const int64_t first = row + width <= rows ? row : rows - width;  // the last block overlaps the one before it
    Vec<T> block[width];
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) block[i] = columns[first + i];
    transpose<T>(block);
#pragma GCC unroll 16
    for (int lane = 0; lane < width; ++lane) {
      const int64_t rank = lane * rows + first;
      if (rank + width <= n) {
        store(sorted + rank, block[lane]);
      } else if (rank < n) {
        std::memcpy(sorted + rank, &block[lane], static_cast<std::size_t>(n - rank) * sizeof(T));
      }
    }
  }
}

}  // namespace
}  // namespace gapo
