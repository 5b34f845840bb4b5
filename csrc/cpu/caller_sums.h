// Sums over a group in the caller's order, by whichever threads.
#pragma once

#include "cpu/backend.h"
#include "cpu/buffer.h"
#include "cpu/chunks.h"
#include "cpu/statistics.h"
#include "cpu/striped_sum.h"

namespace gapo {
namespace {

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

}  // namespace
}  // namespace gapo
