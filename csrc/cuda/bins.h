// Order statistics of one large group without sorting it: bins bound every window's width, and only the bins that can
// hold what is looked for are sorted.
//
// A monotone map puts each reward into a bin. Of every bin the number of rewards, the smallest and the largest are
// known. A window that starts in bin a and ends in bin b is at least low[b] - high[a] wide, and the first window that
// starts in a is at most high[b] - low[a] wide: float64 differences of rewards, like the widths themselves, and rounded
// alike, so that the bounds hold to the bit. No window whose lower bound exceeds the smallest upper bound is the
// narrowest. A bin of equal rewards needs no sorting, and of the windows that start in it the first is the narrowest.
//
// The map only decides how much is left to do, never a result: csrc/cpu/ranked_group.h has no room for the extremes in
// its tables of a CPU's cache and bounds windows by the map's arithmetic instead; here shared memory has it.
#pragma once

#include "cuda/block.h"
#include "cuda/large_group.h"

namespace gapo::cuda {
namespace {

inline constexpr uint32_t kLeastBins = 2048;
inline constexpr uint32_t kMostBins = 8192;

// About four rewards a bin, within the limits.
constexpr uint32_t bins_for(int64_t size) {
  uint32_t bins = kLeastBins;
  while (bins < kMostBins && int64_t{bins} * 4 < size) bins *= 2;
  return bins;
}

// Monotone from all values but NaN to [0, bins): low is finite and scale finite and not negative, or scale is 0.
template <typename T>
struct BinMap {
  T low{}, scale{};
  uint32_t bins = 1;

  GAPO_DEVICE uint32_t operator()(T value) const {
    const T position = (value - low) * scale;  // NaN for an infinite value or an infinite low, with a scale of 0
    const T floor = position > 0 ? position : T{0};
    const T last = static_cast<T>(bins - 1);
    return static_cast<uint32_t>(floor < last ? floor : last);
  }
};

// Cuts up the range between two inner quantiles of a sample and half as much again on either side, so that outliers do
// not stretch it. A range that overflows, or is too small to be cut, becomes one bin.
template <typename T>
GAPO_DEVICE BinMap<T> make_map(T low, T high, T inner_low, T inner_high, uint32_t bins) {
  const T margin = (inner_high - inner_low) / 2;
  const T from = margin > 0 && inner_low - margin > low ? inner_low - margin : low;
  const T to = margin > 0 && inner_high + margin < high ? inner_high + margin : high;
  const T scale = static_cast<T>(bins) / (to - from);
  const bool usable = is_finite(from) && is_finite(scale) && scale > 0;
  return {usable ? from : T{0}, usable ? scale : T{0}, bins};
}

// What is known of the bins, in the block's own memory.
template <typename T>
struct BinTable {
  using Key = KeyOf<T>;
  BinMap<T> map;
  Key* low;         // [bins] smallest and largest key; of an empty bin the largest key and 0
  Key* high;        // [bins]
  uint32_t* first;  // [bins + 1] rewards of the bin, then the rank of its first
  uint32_t* slot;   // [bins] where its sorted rewards begin, kAbsent where it is not sorted

  static constexpr uint32_t kAbsent = ~uint32_t{0};

  static constexpr std::size_t bytes(uint32_t bins) {
    return bins * (2 * sizeof(Key) + 2 * sizeof(uint32_t)) + sizeof(uint32_t);
  }
  GAPO_DEVICE BinTable(unsigned char* memory, uint32_t bins)
      : low(reinterpret_cast<Key*>(memory)),
        high(low + bins),
        first(reinterpret_cast<uint32_t*>(high + bins)),
        slot(first + bins + 1) {
    map.bins = bins;
  }

  GAPO_DEVICE uint32_t size(uint32_t bin) const { return first[bin + 1] - first[bin]; }
  GAPO_DEVICE bool constant(uint32_t bin) const { return low[bin] == high[bin]; }
  GAPO_DEVICE double smallest(uint32_t bin) const { return from_key<T>(low[bin]); }
  GAPO_DEVICE double largest(uint32_t bin) const { return from_key<T>(high[bin]); }

  // The bin that holds a rank: the last whose first rank is not above it.
  GAPO_DEVICE uint32_t of_rank(uint32_t rank) const {
    uint32_t from = 0, to = map.bins;
    while (to - from > 1) {
      const uint32_t middle = (from + to) / 2;
      (first[middle] <= rank ? from : to) = middle;
    }
    return from;
  }

  // Whether the rewards of a bin can be read off by rank, and such a reward.
  GAPO_DEVICE bool readable(uint32_t bin) const { return slot[bin] != kAbsent || constant(bin); }
  GAPO_DEVICE double reward(uint32_t bin, uint32_t rank, const Key* sorted) const {
    return from_key<T>(constant(bin) ? low[bin] : sorted[slot[bin] + rank - first[bin]]);
  }
};

// Chooses the map from 256 of the group's rewards; equal in all blocks.
template <typename T, typename Block>
GAPO_DEVICE void choose_map(Block& block, const LargeGroup<T>& group, T low, T high, BinTable<T>& table) {
  using Key = KeyOf<T>;
  constexpr int samples = 256;
  static_assert(samples + 2 <= kLeastBins);
  Key* const sample = table.low;  // not in use yet
  Key* const inner = sample + samples;
  block.each([&](int thread) {
    for (int s = thread; s < samples; s += Block::kThreads) {
      T reward;
      sample[s] = group.load(static_cast<uint32_t>(uint64_t{group.size()} * s / samples), reward) ? to_key(reward)
                                                                                                  : kLargestKey<Key>;
    }
    if (thread == 0) {
      inner[0] = to_key(low);
      inner[1] = to_key(high);
    }
  });
  block.each([&](int thread) {
    for (int s = thread; s < samples; s += Block::kThreads) {
      int drawn = 0, rank = 0;
      for (int other = 0; other < samples; ++other) {
        drawn += sample[other] != kLargestKey<Key>;
        rank += sample[other] < sample[s] || (sample[other] == sample[s] && other < s);
      }
      if (rank >= drawn) continue;  // not a reward
      if (rank == drawn / 20) inner[0] = sample[s];
      if (rank == drawn - 1 - drawn / 20) inner[1] = sample[s];
    }
  });
  const T inner_low = from_key<T>(inner[0]), inner_high = from_key<T>(inner[1]);
  block.each([](int) {});  // the sample's place is reused
  table.map = make_map(low, high, inner_low, inner_high, table.map.bins);
}

// Fills counts and extremes of all bins, then turns the counts into first ranks.
template <typename T, typename Block>
GAPO_DEVICE void fill_bins(Block& block, const LargeGroup<T>& group, BinTable<T>& table, const Exchange<T>& exchange) {
  const uint32_t bins = table.map.bins;
  block.each([&](int thread) {
    for (uint32_t bin = thread; bin < bins; bin += Block::kThreads) {
      table.first[bin] = 0;
      table.low[bin] = kLargestKey<KeyOf<T>>;
      table.high[bin] = 0;
    }
  });
  group.each_reward(block, [&](T reward) {
    const uint32_t bin = table.map(reward);
    const KeyOf<T> key = to_key(reward);
    atomic_add(table.first + bin, 1u);
    atomic_lower(table.low + bin, key);
    atomic_raise(table.high + bin, key);
  });
  if (block.count > 1) {
    block.each([&](int thread) {
      for (uint32_t bin = thread; bin < bins; bin += Block::kThreads) {
        if (table.first[bin] == 0) continue;
        atomic_add(exchange.bin_count + bin, table.first[bin]);
        atomic_lower(exchange.bin_low + bin, table.low[bin]);
        atomic_raise(exchange.bin_high + bin, table.high[bin]);
      }
    });
    block.meet();
    block.each([&](int thread) {
      for (uint32_t bin = thread; bin < bins; bin += Block::kThreads) {
        table.first[bin] = exchange.bin_count[bin];
        table.low[bin] = exchange.bin_low[bin];
        table.high[bin] = exchange.bin_high[bin];
      }
    });
  }
  const uint32_t run = (bins + Block::kThreads - 1) / Block::kThreads;
  const auto own_bins = [&](int thread, auto visit) {
    for (uint32_t bin = thread * run; bin < (thread + 1) * run && bin < bins; ++bin) visit(bin);
  };
  const uint32_t total = block.scan(
      [&](int thread) {
        uint32_t count = 0;
        own_bins(thread, [&](uint32_t bin) { count += table.first[bin]; });
        return count;
      },
      [&](int thread, uint32_t rank) {
        own_bins(thread, [&](uint32_t bin) {
          const uint32_t count = table.first[bin];
          table.first[bin] = rank;
          rank += count;
        });
      });
  block.each([&](int thread) {
    if (thread == 0) table.first[bins] = total;
  });
}

}  // namespace
}  // namespace gapo::cuda
