// Brings up to kLanes groups side by side: group l becomes lane l of every row.
#pragma once

#include "cpu/vec.h"
#include "definition.h"

namespace gapo {
namespace {

// The groups of one batch.
template <typename T>
struct Batch {
  const T* group[kLanes<T>];
  int64_t size[kLanes<T>];
  int64_t window[kLanes<T>];  // k of each group
  int64_t rows = 0;           // the largest size
  int64_t shared_rows = 0;    // the smallest: rows that every lane has
  int lanes = 0;
  bool uniform = true;  // every group has `rows` rewards
  bool compact = true;  // and each begins where the one before it ends

  void add(const T* rewards, int64_t count, double tau) {
    const bool first = lanes == 0;
    group[lanes] = rewards;
    size[lanes] = count;
    window[lanes] = !first && count == size[lanes - 1] ? window[lanes - 1] : window_size(count, tau);
    uniform &= first || count == rows;
    compact &= first || rewards == group[lanes - 1] + size[lanes - 1];
    if (count > rows) rows = count;
    if (first || count < shared_rows) shared_rows = count;
    ++lanes;
  }

  // `count` groups of n rewards, one behind the other, each with a window of k.
  void set_equal(const T* rewards, int64_t n, int count, int64_t k) {
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      group[lane] = rewards + (lane < count ? lane : count - 1) * n;
      size[lane] = n;
      window[lane] = k;
    }
    rows = shared_rows = n;
    lanes = count;
    compact = count == kLanes<T>;
  }

  // Lanes without a group repeat the last one, so that the vector steps need no mask; nobody reads what they compute.
  void fill_lanes() {
    compact &= lanes == kLanes<T>;
    for (int lane = lanes; lane < kLanes<T>; ++lane) {
      group[lane] = group[lanes - 1];
      size[lane] = size[lanes - 1];
      window[lane] = window[lanes - 1];
    }
  }
};

// Rows from `first` on, which no lane lacks; +inf where a lane has no more.
template <typename T>
GAPO_INLINE void load_one_by_one(const Batch<T>& batch, int64_t first, Vec<T>* columns) {
  T* out = reinterpret_cast<T*>(columns);
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    const int64_t n = batch.size[lane];
    for (int64_t row = first; row < n; ++row) out[row * kLanes<T> + lane] = batch.group[lane][row];
    for (int64_t row = n; row < batch.rows; ++row) {
      out[row * kLanes<T> + lane] = std::numeric_limits<T>::infinity();
    }
  }
}

// kLanes groups of kRows rewards, one behind the other in memory.
template <int kRows, typename T>
GAPO_INLINE void load_compact(const T* rewards, Vec<T>* columns) {
  Vec<T> rows[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) rows[i] = load(rewards + i * kLanes<T>);
  transpose<T>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) columns[i] = rows[i];
}

// The rows that every lane has, kLanes or more.
template <typename T>
GAPO_INLINE void load_blocks(const Batch<T>& batch, Vec<T>* columns) {
  constexpr int n = kLanes<T>;
  const int64_t rows = batch.shared_rows;
  for (int64_t row = 0; row < rows; row += n) {
    const int64_t first = row + n <= rows ? row : rows - n;  // the last block overlaps the one before it
    Vec<T> block[n];
#pragma GCC unroll 16
    for (int lane = 0; lane < n; ++lane) block[lane] = load(batch.group[lane] + first);
    transpose<T>(block);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) columns[first + i] = block[i];
  }
}

// Fills columns[0 .. rows rounded up to kBlock): the rewards, and +inf below them.
template <typename T>
GAPO_INLINE void load_columns(const Batch<T>& batch, Vec<T>* columns) {
  const Vec<T> padding = splat(std::numeric_limits<T>::infinity());
  for (int64_t row = batch.rows; row % kBlock != 0; ++row) columns[row] = padding;
  if (batch.shared_rows >= kLanes<T>) {
    load_blocks(batch, columns);
    load_one_by_one(batch, batch.shared_rows, columns);
  } else if (batch.uniform && batch.compact && batch.rows == 8 && kLanes<T> == 16) {
    load_compact<8>(batch.group[0], columns);
  } else if (batch.uniform && batch.compact && batch.rows == 4 && kLanes<T> >= 8) {
    load_compact<4>(batch.group[0], columns);
  } else {
    load_one_by_one(batch, 0, columns);
  }
}

}  // namespace
}  // namespace gapo
