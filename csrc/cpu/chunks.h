// Passes over one large group in chunks of a fixed length, so that a sum is the same for any number of threads.
#pragma once

#include "cpu/backend.h"
#include "cpu/buffer.h"
#include "cpu/half.h"
#include "cpu/statistics.h"
#include "parallel.h"

namespace gapo {
namespace {

inline constexpr int64_t kChunk = 32768;  // rewards: 128 KiB of float, well inside an L2

inline int64_t chunk_count(int64_t n) { return divide_up(n, kChunk); }

// Calls body(chunk, begin, end) for every chunk of [0, n).
template <typename Body>
void for_each_chunk(int64_t n, ParallelFor parallel_for, Body body) {
  parallel_for(chunk_count(n), 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * kChunk;
      body(chunk, begin, begin + kChunk < n ? begin + kChunk : n);
    }
  });
}

// Sums term(value), which takes a float64 or a vector of them, over values[0 .. n): sixteen running sums whatever the
// vector's width, so that every instruction set adds in the same order.
template <typename T, typename Term>
double striped_sum(const T* values, int64_t n, Term term) {
  constexpr int stripes = 16;
  constexpr int vectors = stripes / kLanes<double>;
  Vec<double> sums[vectors] = {};
  int64_t i = 0;
  for (; i + stripes <= n; i += stripes) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v += kParts<T>) {
      const Wide<T> wide = load_wide(values + i + v * kLanes<double>);
#pragma GCC unroll 2
      for (int p = 0; p < kParts<T>; ++p) sums[v + p] += term(wide.part[p]);
    }
  }
  double total = 0.0;
  for (int s = 0; s < stripes; ++s) total += sums[s / kLanes<double>][s % kLanes<double>];
  for (; i < n; ++i) total += term(static_cast<double>(to_computed(values[i])));
  return total;
}

template <typename T, typename Term>
double chunked_sum(const T* values, int64_t n, ParallelFor parallel_for, Term term) {
  Buffer<double> partial(chunk_count(n));
  for_each_chunk(n, parallel_for, [&](int64_t chunk, int64_t begin, int64_t end) {
    partial[chunk] = striped_sum(values + begin, end - begin, term);
  });
  double total = 0.0;
  for (int64_t chunk = 0; chunk < chunk_count(n); ++chunk) total += partial[chunk];
  return total;
}

// A group's sum in the caller's order: up to kLargestSummedColumn as the columns add, above as chunked_sum does. So it
// depends on the size alone, not on what else is asked of the group.
template <typename T, typename Term>
double caller_sum(const T* rewards, int64_t n, ParallelFor parallel_for, Term term) {
  return n > kLargestSummedColumn ? chunked_sum(rewards, n, parallel_for, term) : sum_of(rewards, 0, n, term);
}

template <typename T>
double caller_mean(const T* rewards, int64_t n, ParallelFor parallel_for = serial_for) {
  const double anchor = anchor_of(rewards[0]);
  const double sum = caller_sum(rewards, n, parallel_for, [anchor](auto x) { return x - anchor; });
  return anchor + sum / static_cast<double>(n);
}

template <typename T>
double caller_squares(const T* rewards, int64_t n, double center, ParallelFor parallel_for = serial_for) {
  return caller_sum(rewards, n, parallel_for, [center](auto x) { return (x - center) * (x - center); });
}

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
