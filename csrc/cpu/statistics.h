// The statistics of one group, step by step, on any sequence that is indexed by row or rank and yields float64.
//
// Sums run in the order of the sequence, so that a group's result depends on nothing but its rewards. The vector forms
// in column_statistics.h do the same additions in the same order, many groups at a time.
#pragma once

#include "cpu/vec.h"
#include "formulas.h"

namespace gapo {
namespace {

// The mean of values[0 .. n).
template <typename Sequence>
double mean_of(Sequence&& values, int64_t n) {
  const double anchor = anchor_of(values[0]);
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += values[i] - anchor;
  return anchor + sum / static_cast<double>(n);
}

// One finite reward over and over.
template <typename Sequence>
bool is_constant(Sequence&& values, int64_t n) {
  if (!is_finite(values[0])) return false;
  for (int64_t i = 1; i < n; ++i) {
    if (values[i] != values[0]) return false;
  }
  return true;
}

template <typename Sequence>
bool any_nan(Sequence&& values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (values[i] != values[i]) return true;
  }
  return false;
}

// Rank at which the leftmost narrowest window of k ascending values starts; -1 where no window has a width.
template <typename Sequence>
int64_t narrowest_window(Sequence&& ascending, int64_t n, int64_t k) {
  double best = kInfinity;
  int64_t start = -1;
  for (int64_t i = 0; i + k <= n; ++i) {
    const double width = static_cast<double>(ascending[i + k - 1]) - static_cast<double>(ascending[i]);
    if (width < best || (start < 0 && width == width)) {
      best = width;
      start = i;
    }
  }
  return start;
}

// The median of the m values from rank `first` on.
template <typename Sequence>
double median_of(Sequence&& ascending, int64_t first, int64_t m) {
  const double low = ascending[first + (m - 1) / 2];
  const double high = ascending[first + m / 2];
  return middle(low, high);
}

template <typename Sequence>
double mean_of_window(Sequence&& ascending, int64_t start, int64_t k) {
  const double anchor = anchor_of(ascending[start]);
  double sum = 0.0;
  for (int64_t i = start; i < start + k; ++i) sum += ascending[i] - anchor;
  return anchor + sum / static_cast<double>(k);
}

// Q of a centre that is read off the ascending values; start is what narrowest_window returned.
template <typename Sequence>
double ordered_center(Sequence&& ascending, int64_t n, int64_t k, int64_t start, Center center) {
  switch (center) {
    case Center::kHdiMedian:
      return start < 0 ? kNan : median_of(ascending, start, k);
    case Center::kHdiMean:
      return start < 0 ? kNan : mean_of_window(ascending, start, k);
    case Center::kQuantile:
      return ascending[k - 1];
    default:
      return median_of(ascending, 0, n);
  }
}

template <typename Sequence>
double sum_of_squares(Sequence&& values, int64_t n, double center) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const double deviation = values[i] - center;
    sum += deviation * deviation;
  }
  return sum;
}

// The median of |value - center|: the ascending values fall into two runs of growing deviation, read outwards.
template <typename Sequence>
double median_deviation(Sequence&& ascending, int64_t n, double center) {
  if (!is_finite(center)) return kNan;  // such a centre is itself a member: inf - inf
  int64_t right = 0;
  while (right < n && ascending[right] < center) ++right;
  int64_t left = right - 1;
  double low = 0.0, high = 0.0;
  for (int64_t rank = 0; rank <= n / 2; ++rank) {
    const double down = left >= 0 ? center - ascending[left] : kInfinity;
    const double up = right < n ? ascending[right] - center : kInfinity;
    const bool take_left = left >= 0 && (right >= n || down <= up);
    low = high;
    high = take_left ? down : up;
    take_left ? --left : ++right;
  }
  if (n % 2 == 1) low = high;
  return std::abs(middle(low, high));  // +0, whichever zeros were subtracted
}

}  // namespace
}  // namespace gapo
