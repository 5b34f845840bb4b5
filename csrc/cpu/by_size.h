// The groups of a ragged call in the order of their sizes, so that those of one batch fill their columns alike.
#pragma once

#include "cpu/backend.h"
#include "cpu/buffer.h"

namespace gapo {
namespace {

// Group numbers by size: counting sort of those that fit a column, the larger ones behind them.
struct BySize {
  BySize(int64_t count) : order(count) {}
  Buffer<int64_t> order;
  int64_t small_begin = 0;  // empty groups come first and are passed over
  int64_t large_begin = 0;
  int64_t largest_small = 0;
};

template <typename T>
void sort_by_size(const Groups<T>& groups, int64_t longest_column, BySize& result) {
  for (int64_t g = 0; g < groups.count; ++g) {
    const int64_t n = groups.size(g);
    if (n <= longest_column && n > result.largest_small) result.largest_small = n;
  }
  const int64_t large = result.largest_small + 1;
  const auto key = [&](int64_t g) { return groups.size(g) < large ? groups.size(g) : large; };
  Buffer<int64_t> next(large + 2);
  next.zero();
  for (int64_t g = 0; g < groups.count; ++g) ++next[key(g) + 1];
  for (int64_t n = 0; n <= large; ++n) next[n + 1] += next[n];
  result.small_begin = next[1];
  result.large_begin = next[large];
  for (int64_t g = 0; g < groups.count; ++g) result.order[next[key(g)]++] = g;
}

}  // namespace
}  // namespace gapo
