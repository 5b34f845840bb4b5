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

inline constexpr uint32_t kLeastBins = 1024;
inline constexpr uint32_t kMostBins = 8192;

// Twice as many for eight times the rewards: what a bin costs its blocks against what large bins cost to be sorted.
// About eight rewards a bin where a block has a group to itself, 128 in a group of 2^20 that 128 blocks share.
constexpr uint32_t bins_for(int64_t size) {
  uint32_t bins = kLeastBins;
  for (int64_t largest = 8192; bins < kMostBins && size > largest; largest *= 8) bins *= 2;
  return bins;
}

// Monotone from all values but NaN to [0, bins): low is finite and scale finite and not negative, or scale is 0.
template <typename T>
struct BinMap {
  T low{}, scale{};
  uint32_t bins = 1;

  GAPO_DEVICE uint32_t operator()(T value) const {
    const T position = (value - low) * scale;  // NaN for an infinite value with a scale of 0, and for NaN: to the first
    return static_cast<uint32_t>(fmin(fmax(position, T{0}), static_cast<T>(bins - 1)));
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

// What is known of a bin.
template <typename T>
struct Bin {
  using Key = KeyOf<T>;
  static constexpr uint32_t kAbsent = ~uint32_t{0}, kUnsorted = uint32_t{1} << 31;

  Key low, high;   // smallest and largest key; of an empty bin the largest key and 0
  uint32_t first;  // the number of its rewards, then the rank of the first
  uint32_t next;   // how many of them this block has placed, or the blocks before it
  union {
    // while it is found out what is needed
    struct {
      uint16_t last;      // the bin in which the first window that starts here ends
      bool kept, sorted;  // one of its rewards may be read by rank; all may be
    } need;
    // afterwards: where its rewards are placed, with kUnsorted where they are only kept; or kAbsent
    uint32_t slot;
  };

  // While `first` is still the number.
  GAPO_DEVICE Range<T> counted() const { return {low, high, first}; }
  GAPO_DEVICE void set(const Range<T>& rewards) {
    low = rewards.low;
    high = rewards.high;
    first = rewards.count;
  }

  GAPO_DEVICE bool constant() const { return low == high; }
  GAPO_DEVICE double smallest() const { return from_key<T>(low); }
  GAPO_DEVICE double largest() const { return from_key<T>(high); }
  GAPO_DEVICE bool absent() const { return slot == kAbsent; }
  GAPO_DEVICE bool sorted() const { return slot < kUnsorted; }
  GAPO_DEVICE uint32_t place() const { return slot & ~kUnsorted; }
};

// The bins, in the block's own memory: skewed by one at every 32nd, so that threads that go through runs of 2, 4, 8 …
// neighbours side by side meet different banks (of a Bin<float>: five words).
template <typename T>
struct BinTable {
  BinMap<T> map;
  Bin<T>* bins;  // [map.bins + 1], of which the last has a first rank only

  static constexpr uint32_t kTurn = 32;
  static constexpr std::size_t bytes(uint32_t count) { return (count + count / kTurn + 1) * sizeof(Bin<T>); }

  GAPO_DEVICE BinTable(unsigned char* memory, uint32_t count) : bins(reinterpret_cast<Bin<T>*>(memory)) {
    map.bins = count;
  }

  GAPO_DEVICE Bin<T>& operator[](uint32_t bin) const { return bins[bin + bin / kTurn]; }
  GAPO_DEVICE uint32_t size(uint32_t bin) const { return (*this)[bin + 1].first - (*this)[bin].first; }

  // The bin that holds a rank: the last whose first rank is not above it. It is one of from .. to - 1.
  GAPO_DEVICE uint32_t of_rank(uint32_t rank, uint32_t from, uint32_t to) const {
    while (to - from > 1) {
      const uint32_t middle = (from + to) / 2;
      ((*this)[middle].first <= rank ? from : to) = middle;
    }
    return from;
  }
  GAPO_DEVICE uint32_t of_rank(uint32_t rank) const { return of_rank(rank, 0, map.bins); }
  // The same in steps that grow, for a bin that is `from` or not far behind it.
  GAPO_DEVICE uint32_t of_rank_near(uint32_t rank, uint32_t from) const {
    uint32_t step = 1;
    for (; from + step < map.bins && (*this)[from + step].first <= rank; step *= 2) from += step;
    return of_rank(rank, from, from + step < map.bins ? from + step : map.bins);
  }

  // Calls visit(bin) for the run of neighbours that a thread has to itself.
  template <int kThreads, typename Visit>
  GAPO_DEVICE void own_bins(int thread, Visit visit) const {
    static_assert(kLeastBins % kThreads == 0);
    thread = opaque(thread);  // else the first one's address is kept from pass to pass, and spills
    const uint32_t run = map.bins / kThreads, begin = thread * run;
    for (uint32_t bin = begin; bin < begin + run; ++bin) visit(bin);
  }
};

// Chooses the map from a sample of 512 of the group's rewards; equal in all blocks. The smallest of each 16 of them and
// the largest have medians near the 4th and the 96th percentile, which outliers do not move. Where all that were drawn
// are equal, every reward is looked at.
template <typename T, typename Block>
GAPO_DEVICE void choose_map(Block& block, const LargeGroup<T>& group, const Exchange<T>& exchange, BinTable<T>& table) {
  using Key = KeyOf<T>;
  constexpr int columns = 32, samples = 16 * columns;
  static_assert(columns <= Block::kThreads && samples + 2 * columns + 4 <= kLeastBins);
  Key* const sample = reinterpret_cast<Key*>(table.bins);  // not in use yet
  Key* const lows = sample + samples;
  Key* const highs = lows + columns;
  Key* const found = highs + columns;  // the smallest, the two medians, the largest
  block.each([&](int thread) {
    for (int s = thread; s < samples; s += Block::kThreads) {
      sample[s] = key_or_last(group.read(static_cast<uint32_t>(uint64_t{group.size()} * s / samples)));
    }
  });
  block.each([&](int thread) {
    if (thread >= columns) return;
    Range<T> range = Range<T>::none();
    for (int s = thread; s < samples; s += columns) {
      if (sample[s] != kLargestKey<Key>) range.include(sample[s], sample[s], 1);
    }
    lows[thread] = range.low;
    highs[thread] = range.high;
  });
  block.each([&](int thread) {
    for (int i = thread; i < 2 * columns; i += Block::kThreads) {
      const bool low = i < columns;
      const Key* const keys = low ? lows : highs;
      const int own = i % columns;
      int rank = 0;
      for (int other = 0; other < columns; ++other) {
        rank += keys[other] < keys[own] || (keys[other] == keys[own] && other < own);
      }
      if (rank == columns / 2) found[low ? 1 : 2] = keys[own];
      if (rank == (low ? 0 : columns - 1)) found[low ? 0 : 3] = keys[own];
    }
  });
  Range<T> all{found[0], found[3], 0}, central{found[1], found[2], 0};
  block.each([](int) {});  // the sample's place is reused
  if (!(all.low < all.high)) central = all = group.find_range(block, exchange);
  table.map = make_map(from_key<T>(all.low), from_key<T>(all.high), from_key<T>(central.low), from_key<T>(central.high),
                       table.map.bins);
}

template <typename T, typename Block>
GAPO_DEVICE void clear_bins(Block& block, const BinTable<T>& table) {
  block.each([&](int thread) {
    for (uint32_t number = thread; number < table.map.bins; number += Block::kThreads) {
      Bin<T>& bin = table[number];
      bin.set(Range<T>::none());
      bin.next = 0;
      bin.need = {0, false, false};
    }
  });
}

// Counts and extremes of this block's rewards. A NaN lies in the first bin.
template <typename T, typename Block>
GAPO_DEVICE void count_rewards(Block& block, const LargeGroup<T>& group, const BinTable<T>& table) {
  using Key = KeyOf<T>;
  constexpr int count = LargeGroup<T>::kBatch;  // bins that are waited for together
  group.each_batch(block, [&](const T* rewards) {
    Bin<T>* bins[count];
    Key low[count], high[count];
#pragma unroll
    for (int j = 0; j < count; ++j) {
      bins[j] = &table[table.map(rewards[j])];
      low[j] = atomic_peek(&bins[j]->low);
      high[j] = atomic_peek(&bins[j]->high);
    }
#pragma unroll
    for (int j = 0; j < count; ++j) {
      if (!is_reward(rewards[j])) continue;
      const Key key = to_key(rewards[j]);
      atomic_add(&bins[j]->first, 1u);
      // most change nothing
      if (key < low[j]) atomic_lower(&bins[j]->low, key);
      if (key > high[j]) atomic_raise(&bins[j]->high, key);
    }
  });
}

// Adds the block's bins to those of all blocks, and notes how many rewards the blocks before it have in each.
template <typename T, typename Block>
GAPO_DEVICE void add_bins(Block& block, const BinTable<T>& table, const Exchange<T>& exchange) {
  constexpr int batch = 4;  // atomics that are waited for together
  const uint32_t bins = table.map.bins;
  // Every block begins elsewhere, so that not all wait for the same memory. The number of bins is a power of two.
  const uint32_t turn = static_cast<uint32_t>(block.rank) * kWarp;
  const auto number_at = [&](uint32_t place) { return (place + turn) & (bins - 1); };
  block.each([&](int thread) {
    for (uint32_t from = thread; from < bins; from += batch * Block::kThreads) {
      uint32_t before[batch] = {};
#pragma unroll
      for (int j = 0; j < batch; ++j) {
        const uint32_t place = from + j * Block::kThreads, number = number_at(place);
        if (place >= bins || table[number].first == 0) continue;
        const Bin<T>& bin = table[number];
        before[j] = atomic_add(exchange.bin_count + number, bin.first);
        atomic_lower(exchange.bin_low + number, bin.low);
        atomic_raise(exchange.bin_high + number, bin.high);
      }
#pragma unroll
      for (int j = 0; j < batch; ++j) {
        const uint32_t place = from + j * Block::kThreads;
        if (place < bins) table[number_at(place)].next = before[j];
      }
    }
  });
}

// Turns the counts into first ranks. count: of all bins' rewards.
template <typename T, typename Block>
GAPO_DEVICE void rank_bins(Block& block, const BinTable<T>& table, uint32_t count) {
  block.scan(
      [&](int thread) {
        uint32_t own = 0;
        table.template own_bins<Block::kThreads>(thread, [&](uint32_t bin) { own += table[bin].first; });
        return own;
      },
      [&](int thread, uint32_t rank) {
        table.template own_bins<Block::kThreads>(thread, [&](uint32_t bin) {
          const uint32_t own = table[bin].first;
          table[bin].first = rank;
          rank += own;
        });
        if (thread == 0) table[table.map.bins].first = count;
      });
}

// Finds first ranks and extremes of all bins. Returns the group's range.
template <typename T, typename Block>
GAPO_DEVICE Range<T> fill_bins(Block& block, const LargeGroup<T>& group, const BinTable<T>& table,
                               const Exchange<T>& exchange) {
  constexpr int batch = 4;  // reads that are waited for together
  const uint32_t bins = table.map.bins;
  clear_bins(block, table);
  count_rewards(block, group, table);
  const bool shared = block.count > 1;
  if (shared) {
    add_bins(block, table, exchange);
    block.meet();
  }
  const Range<T> range = block.reduce(
      [&](int thread) {
        Range<T> own = Range<T>::none();
        for (uint32_t from = thread; from < bins; from += batch * Block::kThreads) {
          Range<T> found[batch];
#pragma unroll
          for (int j = 0; j < batch; ++j) {
            const uint32_t number = from + j * Block::kThreads;
            found[j] = number >= bins ? Range<T>::none() : shared ? exchange.bin(number) : table[number].counted();
          }
#pragma unroll
          for (int j = 0; j < batch; ++j) {
            const uint32_t number = from + j * Block::kThreads;
            if (number < bins) table[number].set(found[j]);
            own = join(own, found[j]);
          }
        }
        return own;
      },
      join<T>);
  rank_bins(block, table, range.count);
  return range;
}

}  // namespace
}  // namespace gapo::cuda
