// The statistics of one group, step by step, on values that its team holds in registers and, sorted, in memory.
//
// Every lane comes to the same GroupStats. Sums are taken by lane, then over the lanes in a fixed order: a group's bits
// depend on its rewards and the team's shape alone.
#pragma once

#include "cuda/rows.h"

namespace gapo::cuda {
namespace {

// The narrowest window so far; kNoStart behind all others.
struct Window {
  double width;
  int start;
};
inline constexpr int kNoStart = 0x7FFFFFFF;

template <typename Thread>
GAPO_DEVICE Window partner_of(Window window, int mask) {
  return {Thread::partner(window.width, mask), Thread::partner(window.start, mask)};
}

GAPO_DEVICE Window narrower(const Window& a, const Window& b) {
  return b.width < a.width || (b.width == a.width && b.start < a.start) ? b : a;
}

// The leftmost narrowest of the windows that start at ranks lane, lane + kLanes, ... below `starts`.
//
// Of float32 rewards, float64 sees only those whose float32 width is the least. A difference that is rounded to float64
// and then to float32 is the same as one that is rounded to float32 at once (53 bits are two more than twice 24), so
// that a float32 width is a monotone function of the float64 width: the narrowest are among them, and all of them are.
template <typename T, typename Team>
GAPO_DEVICE Window own_narrowest(const Team& team, int starts, int k) {
  constexpr int n = Team::kRewards, step = n < 4 ? n : 4;
  const int left = starts - team.lane;
  const auto lower = team.in_turn(team.lane), upper = team.in_turn(team.lane + k - 1);
  T least = static_cast<T>(kInfinity);
  uint32_t among = 0;  // a bit for each window of that width
#pragma unroll
  for (int begin = 0; begin < n; begin += step) {
    if (begin * Team::kLanes >= starts) break;
    T widths[step];
    T narrowest = least;
#pragma unroll
    for (int i = 0; i < step; ++i) {
      const int p = begin + i;
      widths[i] = static_cast<T>(kInfinity);
      if (p * Team::kLanes < left) widths[i] = upper.at(p) - lower.at(p);
      narrowest = lesser(narrowest, widths[i]);
    }
    if (narrowest < least) among = 0;
#pragma unroll
    for (int i = 0; i < step; ++i) among |= widths[i] == narrowest ? 1u << (begin + i) : 0;
    least = narrowest;
  }
  Window best{kInfinity, kNoStart};
#pragma unroll 1
  for (; among != 0; among &= among - 1) {
    const int rank = lowest_bit(among) * Team::kLanes + team.lane;
    if (rank >= starts) break;
    const double width = static_cast<double>(team.at(rank + k - 1)) - static_cast<double>(team.at(rank));
    if (width < best.width) best = {width, rank};
    if (sizeof(T) == sizeof(double) || least == T{0}) break;  // none is narrower
  }
  return best;
}

// Rank at which the leftmost narrowest window of k starts; kNoStart where no window has a width. The values are laid
// out by rank.
template <typename T, typename Team>
GAPO_DEVICE int narrowest_window(const Team& team, int n, int k) {
  const Window best = team.reduce(own_narrowest<T>(team, n - k + 1, k), narrower);
  if (best.start == kNoStart) {  // no finite width: the first infinite one, if there is any
#pragma unroll 1
    for (int rank = 0; rank + k <= n; ++rank) {
      const T width = team.at(rank + k - 1) - team.at(rank);
      if (width == width) return rank;
    }
  }
  return best.start;
}

// The sum over the values for which member(p) holds, of term(value) as add(sum, value) does it.
template <typename Team, typename T, typename Member, typename Add>
GAPO_DEVICE double sum_of(const Team& team, const T* values, Member member, Add add) {
  constexpr int chains = Team::kRewards < 4 ? 1 : 4;  // the additions need not wait for one another
  double sums[chains] = {};
#pragma unroll
  for (int p = 0; p < Team::kRewards; ++p) {
    if (member(p)) sums[p % chains] = add(sums[p % chains], static_cast<double>(values[p]));
  }
  double sum = sums[0];
  if constexpr (chains == 4) sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return team.reduce(sum, [](double a, double b) { return a + b; });
}

template <typename Team, typename T, typename Member>
GAPO_DEVICE double sum_of_squares(const Team& team, const T* values, Member member, double center) {
  return sum_of(team, values, member, [center](double sum, double value) {
    const double deviation = value - center;
    return fma(deviation, deviation, sum);  // one instruction, and the same on every path of a tier
  });
}

template <typename Team, typename T, typename Member>
GAPO_DEVICE double mean_of(const Team& team, const T* values, Member member, double anchor, int count) {
  const double sum =
      sum_of(team, values, member, [anchor](double sum, double value) { return sum + (value - anchor); });
  return anchor + sum / static_cast<double>(count);
}

template <typename Team, typename T, typename Member, typename Choose>
GAPO_DEVICE T extreme_of(const Team& team, const T* values, Member member, T none, Choose choose) {
  T extreme = none;
#pragma unroll
  for (int p = 0; p < Team::kRewards; ++p) extreme = member(p) ? choose(extreme, values[p]) : extreme;
  return team.reduce(extreme, choose);
}

// The median of the m values from rank `first` on. Sequence: at(rank).
template <typename Sequence>
GAPO_DEVICE double median_of(const Sequence& ascending, int first, int m) {
  return middle(static_cast<double>(ascending.at(first + (m - 1) / 2)),
                static_cast<double>(ascending.at(first + m / 2)));
}

// The deviation at `rank` of |value - center|: below and above the centre it grows outwards from rank `split` on; as
// many are taken from below as belong among the first rank + 1 of both.
template <typename Sequence>
GAPO_DEVICE double deviation_at(const Sequence& ascending, int n, int split, double center, int rank) {
  const auto down = [&](int i) { return center - static_cast<double>(ascending.at(split - 1 - i)); };
  const auto up = [&](int i) { return static_cast<double>(ascending.at(split + i)) - center; };
  int low = rank + 1 - (n - split), high = rank + 1 < split ? rank + 1 : split;
  if (low < 0) low = 0;
  while (low < high) {
    const int taken = (low + high) / 2;
    if (down(taken) <= up(rank - taken)) {
      low = taken + 1;
    } else {
      high = taken;
    }
  }
  const double last_down = low > 0 ? down(low - 1) : -kInfinity;
  const double last_up = rank - low >= 0 ? up(rank - low) : -kInfinity;
  return last_down < last_up ? last_up : last_down;
}

// The median of |value - center|.
template <typename Sequence>
GAPO_DEVICE double median_deviation(const Sequence& ascending, int n, double center) {
  if (n == 0 || !is_finite(center)) return kNan;  // an infinite centre is itself a member: inf - inf
  int split = 0;
  for (int end = n; split < end;) {  // the first rank whose value is not below the centre
    const int rank = (split + end) / 2;
    if (static_cast<double>(ascending.at(rank)) < center) {
      split = rank + 1;
    } else {
      end = rank;
    }
  }
  const double low = deviation_at(ascending, n, split, center, (n - 1) / 2);
  const double high = deviation_at(ascending, n, split, center, n / 2);
  return fabs(middle(low, high));  // +0, whichever zeros were subtracted
}

// With S and the advantage's factor of a group of n >= 2 that are not all equal.
GAPO_DEVICE GroupStats scaled(const Rule& rule, int64_t n, GroupStats stats, double spread) {
  const auto scale = scale_of(rule, static_cast<double>(n), spread);
  stats.scale = scale.scale;
  stats.inverse = scale.inverse;
  return stats;
}

// What is left when Q, the spread about it and the window are known. lowest, highest: of a group of n rewards.
GAPO_DEVICE GroupStats finished(const Rule& rule, int64_t n, bool has_nan, double lowest, double highest,
                                GroupStats stats, double spread) {
  if (n == 0 || has_nan) return nan_group();
  if (n == 1) return group_of_one(rule, lowest);
  stats = scaled(rule, n, stats, spread);
  if (lowest == highest && is_finite(lowest)) stats.inverse = 0.0;
  return stats;
}

// Sorts the values, lays them out by rank, and makes the lowest ranks the members.
template <bool kUnroll, typename T, typename Team>
GAPO_DEVICE void sort_values(const Team& team, Values<T, Team::kRewards>& values) {
  constexpr int n = Team::kRewards;
  sort_team<kUnroll>(team, values.value);
  if constexpr (!Team::kOneWarp) team.sync();  // the memory took part in the sort
  team.put_own(values.value);
  team.sync();
  const int left = values.count - team.lane * n;
  values.members = left >= n ? 0xFFFFFFFFu >> (32 - n) : left > 0 ? (1u << left) - 1 : 0;
}

// Q of a centre that is read off the ascending values.
template <typename Team, typename T>
GAPO_DEVICE double ordered_center(const Team& team, const T* values, int n, int k, int start, Center center) {
  if (center == Center::kQuantile) return team.at(k - 1);
  if (center == Center::kMedian) return median_of(team, 0, n);
  const int first = start == kNoStart ? 0 : start;
  double q;
  if (center == Center::kHdiMedian) {
    q = median_of(team, first, k);
  } else {
    const int rank = team.lane * Team::kRewards;
    const auto inside = [&](int p) { return rank + p >= first && rank + p < first + k; };
    q = mean_of(team, values, inside, anchor_of(team.at(first)), k);
  }
  return start == kNoStart ? kNan : q;
}

// Sorts the values where the rule needs an order. kPlain: unrolled, and no reward of the slice is left out.
template <bool kPlain, typename T, typename Team>
GAPO_DEVICE GroupStats statistics(const Team& team, const Rule& rule, const Call& call, const Slice& slice,
                                  Values<T, Team::kRewards>& values) {
  const T* const v = values.value;
  const int n = values.count;
  const int k = kPlain || n == slice.size ? slice.window : static_cast<int>(window_size(n, rule.tau));
  const auto member = [&](int p) { return (values.members >> p & 1) != 0; };
  GroupStats stats{0.0, 0.0, kNan, kNan, 0.0};
  if (takes_mean(rule.center)) {  // summed in the order of the rows, whether or not a sort follows
    const double anchor = anchor_of(first_member<T>(team, call, slice, values));
    stats.center = rounded_center<T>(mean_of(team, v, member, anchor, n));
  }
  double lowest, highest;
  if (rule.needs_order()) {
    sort_values<kPlain>(team, values);
    lowest = team.at(0);
    highest = team.at(n > 0 ? n - 1 : 0);
  } else {
    lowest = extreme_of(team, v, member, static_cast<T>(kInfinity), [](T a, T b) { return lesser(a, b); });
    highest = extreme_of(team, v, member, static_cast<T>(-kInfinity), [](T a, T b) { return greater(a, b); });
  }
  int start = kNoStart;
  if (rule.needs_window()) start = narrowest_window<T>(team, n, k);
  if (rule.report_window && start != kNoStart) {
    stats.lower = positive_zero(team.at(start));
    stats.upper = positive_zero(team.at(start + k - 1));
  }
  if (takes_order(rule.center)) {
    stats.center = rounded_center<T>(ordered_center(team, v, n, k, start, rule.center));
  } else if (rule.center == Center::kNone && lowest == highest && is_finite(lowest)) {
    stats.center = positive_zero(lowest);
  }
  double spread = 0.0;
  if (rule.scale == Scale::kRms) spread = sum_of_squares(team, v, member, stats.center);
  if (rule.scale == Scale::kMad) spread = median_deviation(team, n, stats.center);
  return finished(rule, n, values.has_nan, lowest, highest, stats, spread);
}

}  // namespace
}  // namespace gapo::cuda
