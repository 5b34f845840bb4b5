// The least and the largest of a group's rewards, and whether one is NaN.
#pragma once

#include "cpu/buffer.h"
#include "cpu/chunks.h"
#include "formulas.h"

namespace gapo {
namespace {

template <typename T>
struct Range {
  T low, high;
  bool has_nan;

  // One finite reward over and over.
  bool is_constant() const { return low == high && is_finite(low); }

  void include(const Range& other) {
    low = other.low < low ? other.low : low;
    high = other.high > high ? other.high : high;
    has_nan |= other.has_nan;
  }
};

template <typename T>
Range<T> range_of(const T* values, int64_t n) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  Vec<T> low = splat(inf), high = splat(-inf);
  auto nans = low != low;
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    const Vec<T> v = load(values + i);
    low = min(v, low);
    high = max(v, high);
    nans |= v != v;
  }
  Range<T> range{inf, -inf, false};
  for (int lane = 0; lane < kLanes<T>; ++lane) range.include({low[lane], high[lane], nans[lane] != 0});
  for (; i < n; ++i) range.include({values[i], values[i], values[i] != values[i]});
  return range;
}

template <typename T>
Range<T> chunked_range(const T* values, int64_t n, ParallelFor parallel_for) {
  Buffer<Range<T>> partial(chunk_count(n));
  for_each_chunk(n, parallel_for, [&](int64_t chunk, int64_t begin, int64_t end) {
    partial[chunk] = range_of(values + begin, end - begin);
  });
  Range<T> range = partial[0];
  for (int64_t chunk = 1; chunk < chunk_count(n); ++chunk) range.include(partial[chunk]);
  return range;
}

}  // namespace
}  // namespace gapo
