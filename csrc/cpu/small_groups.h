// Scores groups that fit a column: in batches, side by side in columns, or one by one where that is faster.
#pragma once

#include "cpu/backend.h"
#include "cpu/column_statistics.h"
#include "cpu/lone_group.h"
#include "cpu/write_group.h"

namespace gapo {
namespace {

inline constexpr int64_t kLongColumn = 1024;  // rows; see is_faster_alone

// Whether the groups of a batch are faster one by one. A batch costs the same however full its columns are; alone, a
// group takes up to twice its share of a full batch of long columns, and four times its share of short ones.
template <typename T>
bool is_faster_alone(const Rule& rule, const Batch<T>& batch) {
  const int64_t places = batch.rows * kLanes<T>;
  if (batch.lanes * 4 <= kLanes<T> && batch.lanes * 1024 <= places) return true;
  if (batch.rows < kLongColumn || !rule.needs_order()) return false;
  int64_t filled = 0;
  for (int lane = 0; lane < batch.lanes; ++lane) filled += batch.size[lane];
  return 2 * filled <= places;
}

// Whether groups are faster one by one than in batches, each of which is one thread's; see is_faster_alone.
template <typename T>
bool are_faster_alone(const Rule& rule, int64_t count, int64_t batches, int64_t largest, int64_t threads) {
  const int64_t groups_a_thread = divide_up(count, threads), batches_a_thread = divide_up(batches, threads);
  return rule.needs_order() && largest >= kLongColumn && 2 * groups_a_thread <= kLanes<T> * batches_a_thread;
}

template <typename T>
[[gnu::noinline]] void score_alone(const Rule& rule, const Groups<T>& groups, int64_t g, const Output<T>& out) {
  const GroupStats stats = lone_statistics(rule, groups.begin(g), groups.size(g));
  write_group(groups.begin(g), groups.size(g), stats.center, stats.inverse, out.advantage + groups.offset(g));
  if (out.stats) write_statistics(stats, out.stats + kStatistics * g);
}

// Scores groups [first, last) of `order` (or of the call, where order is null), none larger than a column.
template <typename T>
void score_in_columns(const Rule& rule, const Groups<T>& groups, const int64_t* order, int64_t first, int64_t last,
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
    if (is_faster_alone(rule, batch)) {
      for (int lane = 0; lane < batch.lanes; ++lane) score_alone(rule, groups, group(begin + lane), out);
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
      for (int lane = 0; lane < batch.lanes; ++lane)
        write_statistics(stats[lane], out.stats + kStatistics * group(begin + lane));
    }
  }
}

}  // namespace
}  // namespace gapo
