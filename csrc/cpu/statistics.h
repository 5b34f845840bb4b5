// The statistics of one group, step by step, on any sequence that is indexed by row or rank and yields float64.
//
// The order in which a sum adds depends on the number of values alone, so that a group's result depends on nothing but
// its rewards. The vector forms in column_statistics.h do the same additions in the same order, many groups at a time.
#pragma once

#include "cpu/vec.h"
#include "formulas.h"

namespace gapo {
namespace {

// Values whose sum is taken by itself before it is added, so that the processor can add several such runs at once.
inline constexpr int64_t kSumRun = 8;

// The sum of term(values[i]) for i in [first, first + count).
template <typename Sequence, typename Term>
double sum_of(Sequence&& values, int64_t first, int64_t count, Term term) {
  double total = 0.0;
  for (int64_t begin = 0; begin < count; begin += kSumRun) {
    const int64_t end = begin + kSumRun < count ? begin + kSumRun : count;
    double sum = 0.0;
    for (int64_t i = begin; i < end; ++i) sum += term(values[first + i]);
    total += sum;
  }
  return total;
}

// The mean of values[first .. first + count).
template <typename Sequence>
double mean_of(Sequence&& values, int64_t first, int64_t count) {
  const double anchor = anchor_of(values[first]);
  return anchor + sum_of(values, first, count, [&](double x) { return x - anchor; }) / static_cast<double>(count);
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

// Q of a centre that is read off the ascending values; start is what narrowest_window returned.
template <typename Sequence>
double ordered_center(Sequence&& ascending, int64_t n, int64_t k, int64_t start, Center center) {
  switch (center) {
    case Center::kHdiMedian:
      return start < 0 ? kNan : median_of(ascending, start, k);
    case Center::kHdiMean:
      return start < 0 ? kNan : mean_of(ascending, start, k);
    case Center::kQuantile:
      return ascending[k - 1];
    default:
      return median_of(ascending, 0, n);
  }
}

template <typename Sequence>
double sum_of_squares(Sequence&& values, int64_t n, double center) {
  return sum_of(values, 0, n, [&](double x) { return (x - center) * (x - center); });
}

// The m-th smallest |value - center|, which is the least reach of m neighbours. As they move up, their reach below the
// centre shrinks and their reach above grows: the least is where the two meet. Of two zeros it is `down`, which is not
// -0, since the centre is not.
template <typename Sequence>
double ranked_deviation(Sequence&& ascending, int64_t n, int64_t m, double center) {
  const auto down = [&](int64_t i) { return center - ascending[i]; };
  const auto up = [&](int64_t i) { return ascending[i + m - 1] - center; };
  int64_t first = 0, last = n - m;
  while (first < last) {
    const int64_t i = (first + last) / 2;
    up(i) < down(i) ? first = i + 1 : last = i;
  }
  const double reach = up(first) > down(first) ? up(first) : down(first);
  return first > 0 && down(first - 1) < reach ? down(first - 1) : reach;
}

// The median of |value - center|.
template <typename Sequence>
double median_deviation(Sequence&& ascending, int64_t n, double center) {
  if (!is_finite(center)) return kNan;  // such a centre is itself a member: inf - inf
  const double high = ranked_deviation(ascending, n, n / 2 + 1, center);
  return n % 2 == 1 ? high : middle(ranked_deviation(ascending, n, n / 2, center), high);
}

}  // namespace
}  // namespace gapo
