// All groups of a call: small ones side by side in columns, large ones one at a time; then the advantages are written.
#pragma once

#include "cpu/backend.h"
#include "cpu/column_statistics.h"
#include "cpu/large_group.h"
#include "cpu/lone_group.h"

namespace gapo {
namespace {

// advantage[i] = (rewards[i] - Q) / (S + eps) for one group, in float64, rounded once.
template <typename T>
void write_group(const T* rewards, int64_t n, double center, double inverse, T* advantage) {
  if (n < kLanes<T>) {
    for (int64_t i = 0; i < n; ++i) {
      advantage[i] = static_cast<T>((static_cast<double>(rewards[i]) - center) * inverse);
    }
    return;
  }
  for (int64_t row = 0; row < n; row += kLanes<T>) {
    const int64_t i = row + kLanes<T> <= n ? row : n - kLanes<T>;  // the last vector overlaps the one before it
    Wide<T> wide = load_wide(rewards + i);
    for (int p = 0; p < kParts<T>; ++p) wide.part[p] = (wide.part[p] - center) * inverse;
    store_wide(advantage + i, wide);
  }
}

inline constexpr int64_t kLongColumn = 1024;  // rows; see stand_alone

inline int64_t largest_column(const Rule& rule) { return rule.needs_order() ? kLargestColumn : kLargestSummedColumn; }

template <typename T>
void report(const GroupStats& stats, T* row) {
  row[0] = static_cast<T>(stats.center);
  row[1] = static_cast<T>(stats.scale);
  row[2] = static_cast<T>(stats.lower);
  row[3] = static_cast<T>(stats.upper);
}

// A batch of columns costs the same however full they are: where they are mostly empty, each group is faster alone,
// which takes up to twice its share of long columns and four times that of short ones.
template <typename T>
bool stand_alone(const Rule& rule, const Batch<T>& batch) {
  const int64_t places = batch.rows * kLanes<T>;
  if (batch.lanes * 4 <= kLanes<T> && batch.lanes * 1024 <= places) return true;
  if (batch.rows < kLongColumn || !rule.needs_order()) return false;
  int64_t filled = 0;
  for (int lane = 0; lane < batch.lanes; ++lane) filled += batch.size[lane];
  return 2 * filled <= places;
}

template <typename T>
[[gnu::noinline]] void lone_group(const Rule& rule, const Groups<T>& groups, int64_t g, const Output<T>& out) {
  const GroupStats stats = lone_statistics(rule, groups.begin(g), groups.size(g));
  write_group(groups.begin(g), groups.size(g), stats.center, stats.inverse, out.advantage + groups.offset(g));
  if (out.stats) report(stats, out.stats + kStatistics * g);
}

// Groups [first, last) of `order` (or of the call, where order is null), none larger than a column.
template <typename T>
void small_groups(const Rule& rule, const Groups<T>& groups, const int64_t* order, int64_t first, int64_t last,
                  int64_t largest, const Output<T>& out) {
  const int64_t padded = divide_up(largest, kBlock) * kBlock;
  Buffer<Vec<T>> columns(padded);
  Buffer<T> ascending(groups.offsets ? padded * kLanes<T> : 0);
  const int64_t equal_window = window_size(largest, rule.tau);
  for (int64_t begin = first; begin < last; begin += kLanes<T>) {
    const int64_t end = begin + kLanes<T> < last ? begin + kLanes<T> : last;
    const auto group = [&](int64_t i) { return order ? order[i] : i; };
    Batch<T> batch;
    if (groups.offsets) {
      for (int64_t i = begin; i < end; ++i) batch.add(groups.begin(group(i)), groups.size(group(i)), rule.tau);
      batch.fill_lanes();
    } else {
      batch.set_equal(groups.begin(begin), groups.group_size, static_cast<int>(end - begin), equal_window);
    }
    if (stand_alone(rule, batch)) {
      for (int lane = 0; lane < batch.lanes; ++lane) lone_group(rule, groups, group(begin + lane), out);
      continue;
    }
    ColumnStatistics<T> statistics{rule, batch, columns.data(), ascending.data()};
    statistics.run();
    const LaneStats<T>& stats = statistics.stats;
    for (int lane = 0; lane < batch.lanes; ++lane) {
      T* const advantage = out.advantage + (batch.group[lane] - groups.rewards);
      write_group(batch.group[lane], batch.size[lane], stats.center[lane], stats.inverse[lane], advantage);
    }
    if (out.stats) {
      for (int lane = 0; lane < batch.lanes; ++lane) report(stats[lane], out.stats + kStatistics * group(begin + lane));
    }
  }
}

template <typename T>
void large_group(const Rule& rule, const Groups<T>& groups, int64_t g, const Output<T>& out, ParallelFor parallel_for) {
  const T* rewards = groups.begin(g);
  T* advantage = out.advantage + groups.offset(g);
  const GroupStats stats = large_statistics(rule, rewards, groups.size(g), parallel_for);
  for_each_chunk(groups.size(g), parallel_for, [&](int64_t, int64_t begin, int64_t end) {
    write_group(rewards + begin, end - begin, stats.center, stats.inverse, advantage + begin);
  });
  if (out.stats) report(stats, out.stats + kStatistics * g);
}

// Rewards that a task should at least have: in batches, and one by one, which takes longer. Another thread has to be
// woken, and where its core is busy waited for: a task is worth that from tens of microseconds on.
inline constexpr int64_t kBatchedGrain = 16384, kLoneGrain = 8192;

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

// Whether groups are faster one by one than in batches, each of which is one thread's; see stand_alone.
template <typename T>
bool one_by_one(const Rule& rule, int64_t count, int64_t batches, int64_t largest, int64_t threads) {
  const int64_t groups_a_thread = divide_up(count, threads), batches_a_thread = divide_up(batches, threads);
  return rule.needs_order() && largest >= kLongColumn && 2 * groups_a_thread <= kLanes<T> * batches_a_thread;
}

template <typename T>
void run_small(const Rule& rule, const Groups<T>& groups, const int64_t* order, int64_t count, int64_t largest,
               const Output<T>& out, const Threads& threads) {
  if (count == 0) return;  // and no size to divide by
  constexpr int lanes = kLanes<T>;
  const int64_t batches = divide_up(count, lanes);
  if (one_by_one<T>(rule, count, batches, largest, threads.count)) {
    return threads.parallel_for(count, divide_up(kLoneGrain, largest), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) lone_group(rule, groups, order ? order[i] : i, out);
    });
  }
  threads.parallel_for(batches, divide_up(kBatchedGrain, lanes * largest), [&](int64_t first, int64_t last) {
    const int64_t end = last * lanes < count ? last * lanes : count;
    small_groups(rule, groups, order, first * lanes, end, largest, out);
  });
}

template <typename T>
void run_large(const Rule& rule, const Groups<T>& groups, const int64_t* order, int64_t count, const Output<T>& out,
               const Threads& threads) {
  if (count >= threads.count) {  // a thread has whole groups; fewer groups than threads share each group
    const int64_t grain = groups.offsets == nullptr ? divide_up(kLoneGrain, groups.group_size) : 1;
    threads.parallel_for(count, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) large_group(rule, groups, order ? order[i] : i, out, serial_for);
    });
    return;
  }
  for (int64_t i = 0; i < count; ++i) large_group(rule, groups, order ? order[i] : i, out, threads.parallel_for);
}

// The whole op. Empty groups are passed over; their statistics are not written.
template <typename T>
void advantage(const Rule& rule, const Groups<T>& groups, const Output<T>& out, const Threads& threads) {
  if (groups.offsets == nullptr) {
    if (groups.group_size == 0) return;
    if (groups.group_size <= largest_column(rule)) {
      run_small(rule, groups, nullptr, groups.count, groups.group_size, out, threads);
    } else {
      run_large(rule, groups, nullptr, groups.count, out, threads);
    }
    return;
  }
  BySize sizes(groups.count);
  sort_by_size(groups, largest_column(rule), sizes);
  run_small(rule, groups, sizes.order.data() + sizes.small_begin, sizes.large_begin - sizes.small_begin,
            sizes.largest_small, out, threads);
  run_large(rule, groups, sizes.order.data() + sizes.large_begin, groups.count - sizes.large_begin, out, threads);
}

}  // namespace
}  // namespace gapo
