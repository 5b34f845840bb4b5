// Merges columns bitonically, in as few passes over memory as registers allow: kLanes columns side by side, one vector
// a row.
//
// Every comparator puts the smaller value in the lower row. Rows that are not present count as +inf: they would never
// be moved, and are not touched at all.
#pragma once

#include "cpu/network.h"

namespace gapo {
namespace {

// Merges are built of `size` rows: 5, 6, 7 or 8 of these, times a power of two.
inline constexpr int kStep = kBlock / 8;

// Rows `stride` apart that are merged together: offset, offset + stride, ... Mirrored: the rows are two ascending runs,
// of which the second is read backwards; else they are one bitonic sequence.
template <bool kMirrored, int kWays, int kPresent, typename V>
void merge_apart(V* rows, int64_t stride, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    V* const lower = rows + i;
    V* const upper = rows + (kMirrored ? stride - 1 - i : i);
    V values[kPresent];
#pragma GCC unroll 8
    for (int t = 0; t < kPresent; ++t) values[t] = (t < kWays / 2 ? lower : upper)[t * stride];
    run_network<kMirrored ? kRunMergeNetwork<kWays> : kMergeNetwork<kWays>, kPresent>(values);
#pragma GCC unroll 8
    for (int t = 0; t < kPresent; ++t) (t < kWays / 2 ? lower : upper)[t * stride] = values[t];
  }
}

// The same for offsets begin .. end, where the first `present` of kWays rows are there.
template <bool kMirrored, int kWays, int kPresent = kWays, typename V>
GAPO_INLINE void merge_present(V* rows, int64_t stride, int64_t begin, int64_t end, int64_t present) {
  if constexpr (kPresent > 1) {
    if (present == kPresent) return merge_apart<kMirrored, kWays, kPresent>(rows, stride, begin, end);
    merge_present<kMirrored, kWays, kPresent - 1>(rows, stride, begin, end, present);
  }
}

// Compares two blocks row by row and merges each of them within, the lower one without leaving the registers.
template <bool kMirrored, typename V>
GAPO_INLINE void merge_two_blocks(V* lower, V* upper) {
  V low[kBlock];
#pragma GCC unroll 16
  for (int i = 0; i < kBlock; ++i) {
    low[i] = lower[i];
    exchange(low[i], upper[kMirrored ? kBlock - 1 - i : i]);
  }
  run_network<kMergeNetwork<kBlock>, kBlock>(low);
#pragma GCC unroll 16
  for (int i = 0; i < kBlock; ++i) lower[i] = low[i];
  run_on_rows<kMergeNetwork<kBlock>, kBlock>(upper);
}

// Sorts each column of `size` rows, of which the first `present` are there.
template <bool kMirrored, typename V>
void merge_rows(V* rows, int64_t present, int64_t size) {
  switch (size) {
    case 5 * kStep:
      return run_on_rows<kMergeNetwork<5 * kStep>, 5 * kStep>(rows);
    case 6 * kStep:
      return run_on_rows<kMergeNetwork<6 * kStep>, 6 * kStep>(rows);
    case 7 * kStep:
      return run_on_rows<kMergeNetwork<7 * kStep>, 7 * kStep>(rows);
    case kBlock:
      return run_on_rows<kMergeNetwork<kBlock>, kBlock>(rows);
    case 2 * kBlock:
      if (present == size) return merge_two_blocks<kMirrored>(rows, rows + kBlock);
  }
  const auto merge = [&](auto ways) {
    constexpr int n = decltype(ways)::value;
    const int64_t stride = size / n, whole = present / stride, rest = present % stride;
    const int64_t change = kMirrored ? stride - rest : rest;  // one row more is there on one side of it
    merge_present<kMirrored, n>(rows, stride, 0, change, whole + !kMirrored);
    merge_present<kMirrored, n>(rows, stride, change, stride, whole + kMirrored);
    for (int64_t first = 0; first < present; first += stride) {
      merge_rows<false>(rows + first, present - first < stride ? present - first : stride, stride);
    }
  };
  if (size >= 8 * 5 * kStep) {
    merge(std::integral_constant<int, 8>{});
  } else if (size >= 4 * 5 * kStep) {
    merge(std::integral_constant<int, 4>{});
  } else {
    merge(std::integral_constant<int, 2>{});
  }
}

}  // namespace
}  // namespace gapo
