// The whole op for one large group, by the threads of one or of several blocks: a handful of passes over its tiles,
// between which the blocks meet.
#pragma once

#include "cuda/median_deviation.h"
#include "cuda/ranked_group.h"

namespace gapo::cuda {
namespace {

// What the blocks add to or narrow down together.
template <typename T, typename Block>
GAPO_DEVICE void clear_exchange(Block& block, const Rule& rule, const Exchange<T>& exchange, uint32_t bins) {
  block.each([&](int thread) {
    const uint32_t first = block.rank * Block::kThreads + thread, stride = block.count * Block::kThreads;
    for (uint32_t bin = first; block.count > 1 && bin < bins; bin += stride) {
      exchange.bin_count[bin] = 0;
      exchange.bin_low[bin] = kLargestKey<KeyOf<T>>;
      exchange.bin_high[bin] = 0;
    }
    if (rule.scale != Scale::kMad) return;
    for (uint32_t i = first; i < kDeviationCounters; i += stride) exchange.digits[i] = 0;
  });
}

// The mean of the window: what lies in it below its upper end is summed in the order of the rows, and the rewards that
// equal the end are counted. The leftmost narrowest window holds all rewards that equal its lower end.
template <typename T, typename Block>
GAPO_DEVICE double window_mean(Block& block, const LargeGroup<T>& group, const RankedGroup<T, Block>& ranked, int start,
                               uint32_t k, const Exchange<T>& exchange) {
  const double lower = ranked[start], upper = ranked[start + k - 1];
  const double anchor = anchor_of(lower);
  const double sum = group.sum(block, exchange, kWindowSum, [=](double reward) {
    return lower <= reward && reward < upper ? reward - anchor : 0.0;
  });
  const double ends = start + k - ranked.below(upper);
  return anchor + (sum + ends * (upper - anchor)) / k;
}

// Q where it is read off the rewards' order, and the window: into stats. table: the bins of n rewards, in `memory`.
template <typename T, typename Block>
GAPO_DEVICE void find_order(Block& block, const LargeGroup<T>& group, const BinTable<T>& table, uint32_t n,
                            unsigned char* memory, const Exchange<T>& exchange, GroupStats& stats) {
  const Rule& rule = group.call.rule;
  const uint32_t k = static_cast<uint32_t>(window_size(n, rule.tau));
  const bool in_window = takes_window(rule.center);
  const auto run_of_center = [&](uint32_t start) {
    return rule.center == Center::kQuantile ? Run{k - 1, 1}
           : rule.center == Center::kMedian ? Run{0, n}
                                            : Run{start, k};
  };
  Wanted wanted{n, k, rule.needs_window(), rule.center == Center::kHdiMedian, {}};
  if (takes_order(rule.center) && !in_window) wanted.run = run_of_center(0);
  const RankedGroup<T, Block> ranked(block, group, table, wanted, memory, exchange);
  int start = kNoStart;
  if (wanted.narrowest) start = ranked.narrowest_window(block, exchange.windows);
  if (rule.report_window && start != kNoStart) {
    stats.lower = ranked[start];
    stats.upper = ranked[start + k - 1];
  }
  if (!takes_order(rule.center)) return;
  if (in_window && start == kNoStart) {
    stats.center = kNan;
    return;
  }
  const double center = rule.center == Center::kHdiMean ? window_mean(block, group, ranked, start, k, exchange)
                                                        : ranked.middle_of(block, run_of_center(start));
  stats.center = rounded_center<T>(center);
}

// memory: the block's own, RankedGroup::shared_bytes(bins). The result is equal for every thread of every block.
template <typename T, typename Block>
GAPO_DEVICE GroupStats large_statistics(Block& block, const LargeGroup<T>& group, unsigned char* memory, uint32_t bins,
                                        const Exchange<T>& exchange) {
  const Rule& rule = group.call.rule;
  clear_exchange(block, rule, exchange, bins);
  block.start_meeting();  // the rewards come from memory meanwhile
  group.hold(block);
  block.finish_meeting();
  BinTable<T> table(memory, bins);
  Range<T> range;
  if (rule.needs_order()) {
    choose_map(block, group, exchange, table);
    range = fill_bins(block, group, table, exchange);
  } else {
    range = group.find_range(block, exchange);
  }
  const uint32_t n = range.count;
  if (n == 0 || range.has_nan()) return nan_group();
  const T low = from_key<T>(range.low), high = from_key<T>(range.high);
  GroupStats stats{0.0, 0.0, kNan, kNan, 0.0};
  double spread = 0.0;
  if (n == 1 || (low == high && is_finite(low))) {
    stats.center = low;
    if (rule.report_window) stats.lower = stats.upper = low;
    return finished(rule, n, false, low, high, stats, spread);
  }
  if (takes_mean(rule.center)) {
    const double anchor = anchor_of(low);
    const double sum = group.sum(block, exchange, kMeanSum, [=](double reward) { return reward - anchor; });
    stats.center = rounded_center<T>(anchor + sum / n);
  }
  if (rule.needs_order()) find_order(block, group, table, n, memory, exchange, stats);
  const double center = stats.center;
  if (rule.scale == Scale::kRms) {
    spread = group.sum(block, exchange, kSquares, [=](double reward) {
      const double deviation = reward - center;
      return deviation * deviation;
    });
  } else if (rule.scale == Scale::kMad) {
    uint32_t* const counts = reinterpret_cast<uint32_t*>(memory);
    spread = group_median_deviation(block, group, n, center, exchange.digits, counts);
  }
  return scaled(rule, n, stats, spread);
}

// Writes this block's tiles of the advantage, and the statistics.
template <typename T, typename Block>
GAPO_DEVICE void write_large(Block& block, const LargeGroup<T>& group, const GroupStats& stats) {
  const Call& call = group.call;
  block.each([&](int thread) {
    with_element<T>(call.element, [&](auto* null) {
      using E = std::remove_pointer_t<decltype(null)>;
      const int32_t* const rows = call.groups.rows ? call.groups.rows + group.place.begin : nullptr;
      const int64_t first = rows ? 0 : group.place.begin;
      E* const advantage = static_cast<E*>(call.out.advantage) + first;
      E* const report = static_cast<E*>(call.out.stats);
      if (group.template in_chunks<E>()) {  // which rows by id, and so rows of statistics, do not
        group.each_tile(block, [&](const Tile<T>& tile) {
#pragma unroll 2
          for (uint32_t from = thread * kChunk; from < Block::kTile; from += kChunk * Block::kThreads) {
            const uint32_t position = tile.first + from;
            if (position >= group.size()) break;
            Chunk<T, kChunk> values;
            if (tile.is_held) {
              values = *reinterpret_cast<const Chunk<T, kChunk>*>(tile.held + from);
            } else {
              group.template read_chunks<E, 1>(position, 0, &values);
            }
            Chunk<E, kChunk> scores;
#pragma unroll
            for (int i = 0; i < kChunk; ++i) {
              scores.value[i] = to_element<E>(is_reward(values.value[i]) ? advantage_of(values.value[i], stats) : T{0});
            }
            *reinterpret_cast<Chunk<E, kChunk>*>(advantage + position) = scores;
          }
        });
      } else {
        group.each_tile(block, [&](const Tile<T>& tile) {
          group.template visit_batches<Block>(tile, thread, [&](uint32_t position, const T* values) {
            constexpr int count = LargeGroup<T>::kBatch;
            uint32_t row[count];  // looked up before the stores, which would hold the next one back
#pragma unroll
            for (int j = 0; j < count; ++j) {
              row[j] = position + j * Block::kThreads;
              if (rows != nullptr && row[j] < group.size()) row[j] = static_cast<uint32_t>(rows[row[j]]);
            }
#pragma unroll
            for (int j = 0; j < count; ++j) {
              if (position + j * Block::kThreads >= group.size()) break;
              advantage[row[j]] = to_element<E>(is_reward(values[j]) ? advantage_of(values[j], stats) : T{0});
              if (report && call.out.stats_by_row) write_stats<E, T>(stats, report + kStatistics * (first + row[j]));
            }
          });
        });
      }
      if (report && !call.out.stats_by_row && block.rank == 0 && thread == 0) {
        write_stats<E, T>(stats, report + kStatistics * group.place.number);
      }
    });
  });
}

template <typename T, typename Block>
GAPO_DEVICE void large_advantage(Block& block, const LargeGroup<T>& group, unsigned char* memory, uint32_t bins,
                                 const Exchange<T>& exchange) {
  write_large(block, group, large_statistics(block, group, memory, bins, exchange));
}

}  // namespace
}  // namespace gapo::cuda
