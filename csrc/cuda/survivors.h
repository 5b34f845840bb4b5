// Which bins have to be sorted, and sorting them: each reward of such a bin is ranked among those of its bin.
#pragma once

#include "cuda/bins.h"

namespace gapo::cuda {
namespace {

// What is looked for in a group of `size` valid rewards.
struct Wanted {
  uint32_t size, window;
  bool narrowest;      // the narrowest window
  bool window_median;  // and its median
  uint32_t ranks[2];   // two ranks, kNoRank where none is wanted
};

// Visits the bins in which windows that start in `bin` can end, from the first on, until visit returns false.
template <typename T, typename Visit>
GAPO_DEVICE void each_last_bin(const BinTable<T>& table, const Wanted& wanted, uint32_t bin, Visit visit) {
  const uint32_t start = table.first[bin];
  if (table.size(bin) == 0 || start + wanted.window > wanted.size) return;
  const uint32_t starts = table.constant(bin) ? 1 : table.size(bin);
  uint32_t end = start + starts - 1 + wanted.window;  // behind the last window
  end = end < wanted.size ? end : wanted.size;
  uint32_t last = table.of_rank(start + wanted.window - 1);
  for (; last < table.map.bins && table.first[last] < end; ++last) {
    if (table.size(last) > 0 && !visit(last)) return;
  }
}

// An upper bound on the narrowest width: the first and the last window that start in a bin, for every bin.
template <typename T, typename Block>
GAPO_DEVICE double bound_width(Block& block, const BinTable<T>& table, const Wanted& wanted) {
  return block.reduce(
      [&](int thread) {
        double bound = kInfinity;
        const auto include = [&](double width) { bound = width < bound ? width : bound; };
        for (uint32_t bin = thread; bin < table.map.bins; bin += Block::kThreads) {
          const uint32_t size = table.size(bin), start = table.first[bin];
          if (size == 0 || start + wanted.window > wanted.size) continue;
          include(table.largest(table.of_rank(start + wanted.window - 1)) - table.smallest(bin));
          const uint32_t end = start + size - 1 + wanted.window;
          if (end <= wanted.size) include(table.largest(table.of_rank(end - 1)) - table.largest(bin));
        }
        return bound;
      },
      [](double a, double b) { return b < a ? b : a; });
}

// Marks the bins that hold a rank from `first` to `last`.
template <typename T, typename Mark>
GAPO_DEVICE void mark_ranks(const BinTable<T>& table, uint32_t first, uint32_t last, Mark mark) {
  for (uint32_t bin = table.of_rank(first); bin < table.map.bins && table.first[bin] <= last; ++bin) mark(bin);
}

// Marks every bin that is needed to find what is wanted.
template <typename T, typename Block>
GAPO_DEVICE void mark_bins(Block& block, BinTable<T>& table, const Wanted& wanted) {
  constexpr uint32_t marked = 0;
  const auto mark = [&](uint32_t bin) { table.slot[bin] = marked; };  // by several threads: all write the same
  block.each([&](int thread) {
    for (uint32_t bin = thread; bin < table.map.bins; bin += Block::kThreads) table.slot[bin] = BinTable<T>::kAbsent;
  });
  const double bound = wanted.narrowest ? bound_width(block, table, wanted) : 0.0;
  block.each([&](int thread) {
    const uint32_t rank = thread == 0 ? wanted.ranks[0] : thread == 1 ? wanted.ranks[1] : kNoRank;
    if (rank != kNoRank) mark(table.of_rank(rank));
    if (!wanted.narrowest) return;
    for (uint32_t bin = thread; bin < table.map.bins; bin += Block::kThreads) {
      uint32_t reach = kNoRank;
      each_last_bin(table, wanted, bin, [&](uint32_t last) {
        // also false for NaN: then all windows from the one bin to the other are undefined
        if (!(table.smallest(last) - table.largest(bin) <= bound)) return false;
        mark(last);
        reach = last;
        return true;
      });
      if (reach == kNoRank) continue;
      mark(bin);
      if (!wanted.window_median) continue;
      const uint32_t first_start = table.first[bin];
      uint32_t end = table.first[reach + 1];  // behind the last window that ends in the last bin
      end = end < table.first[bin + 1] - 1 + wanted.window ? end : table.first[bin + 1] - 1 + wanted.window;
      const uint32_t last_start = table.constant(bin) ? first_start : end - wanted.window;
      mark_ranks(table, first_start + (wanted.window - 1) / 2, last_start + wanted.window / 2, mark);
    }
  });
}

// Gives the marked bins of unequal rewards a place to be sorted in; returns how many rewards those hold. comparisons:
// what ranking each among those of its bin takes.
template <typename T, typename Block>
GAPO_DEVICE uint32_t place_bins(Block& block, BinTable<T>& table, double& comparisons) {
  const uint32_t run = (table.map.bins + Block::kThreads - 1) / Block::kThreads;
  const auto own_bins = [&](int thread, auto visit) {
    for (uint32_t bin = thread * run; bin < (thread + 1) * run && bin < table.map.bins; ++bin) {
      if (table.slot[bin] != BinTable<T>::kAbsent && table.size(bin) > 0 && !table.constant(bin)) visit(bin);
    }
  };
  comparisons = block.reduce(
      [&](int thread) {
        double own = 0.0;
        own_bins(thread, [&](uint32_t bin) { own += static_cast<double>(table.size(bin)) * table.size(bin); });
        return own;
      },
      [](double a, double b) { return a + b; });
  return block.scan(
      [&](int thread) {
        uint32_t own = 0;
        own_bins(thread, [&](uint32_t bin) { own += table.size(bin); });
        return own;
      },
      [&](int thread, uint32_t place) {
        for (uint32_t bin = thread * run; bin < (thread + 1) * run && bin < table.map.bins; ++bin) {
          if (table.slot[bin] == BinTable<T>::kAbsent) continue;
          if (table.size(bin) == 0 || table.constant(bin)) {
            table.slot[bin] = BinTable<T>::kAbsent;
            continue;
          }
          table.slot[bin] = place;
          place += table.size(bin);
        }
      });
}

// Brings the rewards of the placed bins together, in any order within a bin, then ranks each within its bin: equal ones
// by their places, which decides nothing. After it exchange.sorted[0 .. total) is what `slot` points into.
template <typename T, typename Block>
GAPO_DEVICE void sort_placed_bins(Block& block, const LargeGroup<T>& group, const BinTable<T>& table, uint32_t total,
                                  const Exchange<T>& exchange) {
  group.each_reward(block, [&](T reward) {
    const uint32_t bin = table.map(reward);
    if (table.slot[bin] == BinTable<T>::kAbsent) return;
    exchange.keys[table.slot[bin] + atomic_add(exchange.bin_filled + bin, 1u)] = to_key(reward);
  });
  block.meet();
  block.each([&](int thread) {
    const uint32_t stride = block.count * Block::kThreads;
#pragma unroll 1
    for (uint32_t place = block.rank * Block::kThreads + thread; place < total; place += stride) {
      const KeyOf<T> key = exchange.keys[place];
      const uint32_t bin = table.map(from_key<T>(key));
      const uint32_t begin = table.slot[bin], end = begin + table.size(bin);
      uint32_t rank = begin;
#pragma unroll 2
      for (uint32_t other = begin; other < end; ++other) {
        const KeyOf<T> other_key = exchange.keys[other];
        rank += other_key < key || (other_key == key && other < place);
      }
      exchange.sorted[rank] = key;
    }
  });
  block.meet();
}

}  // namespace
}  // namespace gapo::cuda
