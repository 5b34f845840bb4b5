// The statistics of one group of the size of a column, where too few groups are left to fill the lanes: the bits are
// those of column_statistics.h, which sums in the same order.
#pragma once

#include "cpu/caller_sums.h"
#include "cpu/range.h"
#include "cpu/sort_group.h"
#include "cpu/window_search.h"

namespace gapo {
namespace {

template <typename T>
GroupStats lone_statistics(const Rule& rule, const T* rewards, int64_t n) {
  const Range<T> range = range_of(rewards, n);
  if (range.has_nan) return nan_group();
  if (n == 1) return group_of_one(rule, rewards[0]);
  const bool constant = range.is_constant();
  const int64_t k = window_size(n, rule.tau);
  Buffer<T> memory(n);
  const T* const ascending = memory.data();
  if (rule.needs_order()) sort_group(rewards, memory.data(), n);
  GroupStats stats{constant ? static_cast<double>(rewards[0]) : 0.0, 0.0, kNan, kNan, 0.0};
  int64_t start = -1;
  if (rule.needs_window()) start = narrowest_window_of(ascending, n, k);
  if (start >= 0) {
    stats.lower = positive_zero(ascending[start]);
    stats.upper = positive_zero(ascending[start + k - 1]);
  }
  const bool ordered = takes_order(rule.center);
  if (ordered) stats.center = ordered_center(ascending, n, k, start, rule.center);
  if (takes_mean(rule.center)) stats.center = caller_mean(rewards, n);
  stats.center = rounded_center<T>(stats.center);
  double spread = 0.0;
  if (rule.scale == Scale::kRms) {
    spread = ordered ? sum_of_squares(ascending, n, stats.center) : caller_squares(rewards, n, stats.center);
  }
  if (rule.scale == Scale::kMad) spread = median_deviation(ascending, n, stats.center);
  const auto scale = scale_of(rule, static_cast<double>(n), spread);
  stats.scale = scale.scale;
  if (!constant) stats.inverse = scale.inverse;
  return stats;
}

}  // namespace
}  // namespace gapo
