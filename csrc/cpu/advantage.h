// All groups of a call, shared out to the threads: small ones in columns, large ones one at a time.
#pragma once

#include "cpu/backend.h"
#include "cpu/by_size.h"
#include "cpu/large_group.h"
#include "cpu/small_groups.h"
#include "cpu/write_group.h"

namespace gapo {
namespace {

inline int64_t largest_column(const Rule& rule) { return rule.needs_order() ? kLargestColumn : kLargestSummedColumn; }

// Rewards that a task should at least have: in batches, and one by one, which takes longer. Waking another thread, and
// waiting for it where its core is busy, pays only for tasks of tens of microseconds or more.
inline constexpr int64_t kBatchedGrain = 16384, kLoneGrain = 8192;

template <typename T>
void score_large(const Rule& rule, const Groups<T>& groups, int64_t g, const Output<T>& out, ParallelFor parallel_for) {
  const T* rewards = groups.begin(g);
  T* advantage = out.advantage + groups.offset(g);
  const GroupStats stats = large_statistics(rule, rewards, groups.size(g), parallel_for);
  for_each_chunk(groups.size(g), parallel_for, [&](int64_t, int64_t begin, int64_t end) {
    write_group(rewards + begin, end - begin, stats.center, stats.inverse, advantage + begin);
  });
  if (out.stats) write_statistics(stats, out.stats + kStatistics * g);
}

template <typename T>
void run_small(const Rule& rule, const Groups<T>& groups, const int64_t* order, int64_t count, int64_t largest,
               const Output<T>& out, const Threads& threads) {
  if (count == 0) return;  // and no size to divide by
  constexpr int lanes = kLanes<T>;
  const int64_t batches = divide_up(count, lanes);
  if (are_faster_alone<T>(rule, count, batches, largest, threads.count)) {
    return threads.parallel_for(count, divide_up(kLoneGrain, largest), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) score_alone(rule, groups, order ? order[i] : i, out);
    });
  }
  threads.parallel_for(batches, divide_up(kBatchedGrain, lanes * largest), [&](int64_t first, int64_t last) {
    const int64_t end = last * lanes < count ? last * lanes : count;
    score_in_columns(rule, groups, order, first * lanes, end, largest, out);
  });
}

template <typename T>
void run_large(const Rule& rule, const Groups<T>& groups, const int64_t* order, int64_t count, const Output<T>& out,
               const Threads& threads) {
  if (count >= threads.count) {  // a thread has whole groups; fewer groups than threads share each group
    const int64_t grain = groups.offsets == nullptr ? divide_up(kLoneGrain, groups.group_size) : 1;
    threads.parallel_for(count, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) score_large(rule, groups, order ? order[i] : i, out, serial_for);
    });
    return;
  }
  for (int64_t i = 0; i < count; ++i) score_large(rule, groups, order ? order[i] : i, out, threads.parallel_for);
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
