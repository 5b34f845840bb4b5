// The statistics of one group too long for a column: sorted with all lanes, or binned; threads may share it.
#pragma once

#include "cpu/backend.h"
#include "cpu/caller_sums.h"
#include "cpu/ranked_group.h"
#include "cpu/sorted_group.h"

namespace gapo {
namespace {

// Whether the order of the whole group is needed: all bins would have to be sorted as well.
inline bool reads_all_ranks(const Rule& rule) { return rule.center == Center::kHdiMean || rule.scale == Scale::kMad; }

// Largest group that is sorted rather than binned, found by timing both; what they find is the same. Twice as large
// where a sort gains most, on vectors of 32 bytes, unless threads share the group, which a sort could not use.
template <typename T>
int64_t largest_sorted(const Rule& rule, ParallelFor parallel_for) {
  const bool gains = (reads_all_ranks(rule) || rule.needs_window()) && kVectorBytes >= 32;
  return (gains && parallel_for == serial_for ? 2048 : 1024) * kLanes<T>;
}

template <typename T>
GroupStats large_statistics(const Rule& rule, const T* rewards, int64_t n, ParallelFor parallel_for) {
  const Range<T> range = chunked_range(rewards, n, parallel_for);
  if (range.has_nan) return nan_group();
  const bool constant = range.is_constant();
  const int64_t k = window_size(n, rule.tau);
  double center = 0.0, spread = 0.0, lower = kNan, upper = kNan;
  if (takes_mean(rule.center)) {
    center = rounded_center<T>(caller_mean(rewards, n, parallel_for));
  }
  if (constant) {
    center = positive_zero(range.low);
    if (rule.needs_window()) lower = upper = center;
  } else if (rule.needs_order()) {
    const auto read = [&](auto&& group) {
      if (reads_all_ranks(rule)) group.sort_all();
      int64_t start = -1;
      if (rule.needs_window()) start = group.narrowest_window(k, rule.center == Center::kHdiMedian);
      if (start >= 0) {
        lower = group[start];
        upper = group[start + k - 1];
      }
      if (takes_order(rule.center)) {
        center = rounded_center<T>(ordered_center(group, n, k, start, rule.center));
      }
      if (rule.scale == Scale::kMad) spread = median_deviation(group, n, center);
    };
    if (n <= largest_sorted<T>(rule, parallel_for)) {
      read(SortedGroup<T>(rewards, n));
    } else {
      read(RankedGroup<T>(rewards, n, range, parallel_for));
    }
  }
  if (rule.scale == Scale::kRms) {
    spread = caller_squares(rewards, n, center, parallel_for);
  }
  const auto scale = scale_of(rule, static_cast<double>(n), spread);
  return {center, scale.scale, positive_zero(lower), positive_zero(upper), constant ? 0.0 : scale.inverse};
}

}  // namespace
}  // namespace gapo
