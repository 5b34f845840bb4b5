// Which bins are needed, and sorting them: each reward of such a bin is ranked among those of its bin.
#pragma once

#include "cuda/bins.h"
#include "cuda/select_keys.h"

namespace gapo::cuda {
namespace {

// Ranks one after the other, and the two in the middle, which are the same where their number is odd.
struct Run {
  uint32_t first, size;

  GAPO_DEVICE uint32_t low_middle() const { return first + (size - 1) / 2; }
  GAPO_DEVICE uint32_t high_middle() const { return first + size / 2; }
};

// What is looked for in a group of `size` valid rewards.
struct Wanted {
  uint32_t size, window;
  bool narrowest;      // the narrowest window
  bool window_median;  // and its median
  Run run;             // whose middle is wanted; empty where none is
};

inline constexpr uint32_t kNoRank = ~uint32_t{0};

// Whether a window starts in the bin.
template <typename T>
GAPO_DEVICE bool starts_window(const BinTable<T>& table, const Wanted& wanted, uint32_t bin) {
  return table.size(bin) > 0 && table[bin].first + wanted.window <= wanted.size;
}

// An upper bound on the narrowest width: the first window that starts in a bin, for every bin. Notes where those end.
template <typename T, typename Block>
GAPO_DEVICE double bound_width(Block& block, const BinTable<T>& table, const Wanted& wanted) {
  return block.reduce(
      [&](int thread) {
        double bound = kInfinity;
        uint32_t last = 0;
        table.template own_bins<Block::kThreads>(thread, [&](uint32_t number) {
          if (!starts_window(table, wanted, number)) return;
          Bin<T>& bin = table[number];
          last = table.of_rank_near(bin.first + wanted.window - 1, last < number ? number : last);
          bin.need.last = static_cast<uint16_t>(last);
          const double width = table[last].largest() - bin.smallest();
          bound = width < bound ? width : bound;
        });
        return bound;
      },
      [](double a, double b) { return b < a ? b : a; });
}

// Marks the bins that are needed to find the narrowest window among those that start in a bin: sorted, if a window can
// be narrower than the bound, the bins in which such windows start and end; kept, those that may hold their medians.
template <typename T>
GAPO_DEVICE void mark_windows(const BinTable<T>& table, const Wanted& wanted, double bound, uint32_t number) {
  if (!starts_window(table, wanted, number)) return;
  Bin<T>& bin = table[number];
  const uint32_t starts = bin.constant() ? 1 : table.size(number);
  uint32_t end = bin.first + starts - 1 + wanted.window;  // behind the last window
  end = end < wanted.size ? end : wanted.size;
  uint32_t reach = kNoRank;  // the last rank of the windows that remain
  for (uint32_t last = bin.need.last; last < table.map.bins && table[last].first < end; ++last) {
    if (table.size(last) == 0) continue;
    // also false for NaN: then all windows from the one bin to the other are undefined
    if (!(table[last].smallest() - bin.largest() <= bound)) break;
    table[last].need.sorted = true;
    reach = table[last + 1].first - 1;
  }
  if (reach == kNoRank) return;
  bin.need.sorted = true;
  if (!wanted.window_median) return;
  const uint32_t last_start = (reach < end - 1 ? reach : end - 1) + 1 - wanted.window;
  const uint32_t first = bin.first + (wanted.window - 1) / 2, last = last_start + wanted.window / 2;
  for (uint32_t middle = table.of_rank(first); middle < table.map.bins && table[middle].first <= last; ++middle) {
    table[middle].need.kept = true;
  }
}

// Marks every bin that is needed to find what is wanted. Several threads may mark a bin; all write the same.
template <typename T, typename Block>
GAPO_DEVICE void mark_bins(Block& block, const BinTable<T>& table, const Wanted& wanted) {
  const double bound = wanted.narrowest ? bound_width(block, table, wanted) : 0.0;
  block.each([&](int thread) {
    if (wanted.run.size > 0 && thread < 2) {
      table[table.of_rank(thread == 0 ? wanted.run.low_middle() : wanted.run.high_middle())].need.kept = true;
    }
    if (!wanted.narrowest) return;
    for (uint32_t bin = thread; bin < table.map.bins; bin += Block::kThreads) mark_windows(table, wanted, bound, bin);
  });
}

// What placing the marked bins came to.
struct Placed {
  uint32_t rewards;    // so many have a place
  double comparisons;  // that it takes to rank those of the sorted bins in their bin
};

// Gives the marked bins of unequal rewards places for them; those of equal ones need none.
template <typename T, typename Block>
GAPO_DEVICE Placed place_bins(Block& block, const BinTable<T>& table) {
  const auto own_marked = [&](int thread, auto visit) {
    table.template own_bins<Block::kThreads>(thread, [&](uint32_t number) {
      const auto need = table[number].need;
      if (need.kept || need.sorted) visit(number, table[number].constant() ? 0 : table.size(number), need.sorted);
    });
  };
  const double comparisons = block.reduce(
      [&](int thread) {
        double own = 0.0;
        own_marked(thread, [&](uint32_t, uint32_t size, bool sorted) {
          if (sorted) own += static_cast<double>(size) * size;
        });
        return own;
      },
      [](double a, double b) { return a + b; });
  const uint32_t rewards = block.scan(
      [&](int thread) {
        uint32_t own = 0;
        own_marked(thread, [&](uint32_t, uint32_t size, bool) { own += size; });
        return own;
      },
      [&](int thread, uint32_t place) {
        table.template own_bins<Block::kThreads>(thread, [&](uint32_t number) {
          Bin<T>& bin = table[number];
          const auto need = bin.need;
          bin.slot = need.sorted ? place : need.kept ? place | Bin<T>::kUnsorted : Bin<T>::kAbsent;
          if (!bin.absent() && !bin.constant()) place += table.size(number);
        });
      });
  return {rewards, comparisons};
}

// Brings the rewards of the placed bins together in exchange.keys, in any order within a bin.
template <typename T, typename Block>
GAPO_DEVICE void collect_bins(Block& block, const LargeGroup<T>& group, const BinTable<T>& table,
                              const Exchange<T>& exchange) {
  constexpr int count = LargeGroup<T>::kBatch;  // bins that are waited for together
  group.each_batch(block, [&](const T* rewards) {
    Bin<T>* bins[count];
    bool placed[count];
#pragma unroll
    for (int j = 0; j < count; ++j) {
      bins[j] = &table[table.map(rewards[j])];
      placed[j] = !bins[j]->absent() && !bins[j]->constant() && is_reward(rewards[j]);
    }
#pragma unroll
    for (int j = 0; j < count; ++j) {
      if (placed[j]) exchange.keys[bins[j]->place() + atomic_add(&bins[j]->next, 1u)] = to_key(rewards[j]);
    }
  });
  block.meet();
}

// Ranks the rewards of the sorted bins within their bin, and puts them in order into exchange.sorted, at the same
// places.
template <typename T, typename Block>
GAPO_DEVICE void sort_bins(Block& block, const BinTable<T>& table, uint32_t placed, const Exchange<T>& exchange) {
  block.each([&](int thread) {
    const uint32_t stride = block.count * Block::kThreads;
#pragma unroll 1
    for (uint32_t place = block.rank * Block::kThreads + thread; place < placed; place += stride) {
      const KeyOf<T> key = exchange.keys[place];
      const uint32_t bin = table.map(from_key<T>(key));
      if (!table[bin].sorted()) continue;
      const uint32_t begin = table[bin].place();
      exchange.sorted[begin + rank_in_bin(exchange.keys + begin, table.size(bin), place - begin)] = key;
    }
  });
  block.meet();
}

}  // namespace
}  // namespace gapo::cuda
