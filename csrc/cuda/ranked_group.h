// A large group's rewards by rank: as far as its bins were sorted, or all of them.
#pragma once

#include "cuda/sort_group.h"
#include "cuda/survivors.h"

namespace gapo::cuda {
namespace {

// What ranking within bins may cost a reward of the group; beyond it the full sort is cheaper: of instructions it takes
// about 900 a reward, and a comparison four. Times were not measured.
inline constexpr double kMostComparisons = 128.0;

template <typename T, typename Block>
class RankedGroup {
 public:
  using Key = KeyOf<T>;

  // Afterwards the narrowest window can be searched, and what is wanted read. table: filled, in memory that may be
  // reused.
  GAPO_DEVICE RankedGroup(Block& block, const LargeGroup<T>& group, const BinTable<T>& table, const Wanted& wanted,
                          unsigned char* memory, const Exchange<T>& exchange)
      : table_(table), wanted_(wanted), exchange_(exchange) {
    mark_bins(block, table, wanted);
    const Placed placed = place_bins(block, table);
    placed_ = placed.rewards;
    all_sorted_ = placed.comparisons > kMostComparisons * static_cast<double>(wanted.size);
    sorted_ = exchange.sorted;
    if (all_sorted_) {
      auto& digits = *reinterpret_cast<DigitTable<Block::kThreads>*>(memory);  // the bins are not needed any more
      sorted_ = sort_group(block, group, exchange, digits);
    } else if (placed_ > 0) {
      collect_bins(block, group, table, exchange);
      if (wanted.narrowest) sort_bins(block, table, placed_, exchange);
    }
  }

  // What the table or the digits take, and the counts behind them.
  static constexpr std::size_t shared_bytes(uint32_t bins) { return (order_bytes(bins) + kSelectBytes + 15) / 16 * 16; }

  // How many rewards were looked at one by one, for the tests of the pruning.
  GAPO_DEVICE uint32_t placed_count() const { return all_sorted_ ? wanted_.size : placed_; }

  // The reward of a rank, in a bin that is sorted.
  GAPO_DEVICE double operator[](uint32_t rank) const {
    if (all_sorted_) return from_key<T>(sorted_[rank]);
    return reward(table_.of_rank(rank), rank);
  }

  // The median of a run of ranks. The bins of the two in its middle are at least kept.
  GAPO_DEVICE double middle_of(Block& block, const Run& run) const {
    const uint32_t low = run.low_middle(), high = run.high_middle();
    Selected<Key> found;
    if (all_sorted_) {
      found = {sorted_[low], sorted_[high]};
    } else {
      const uint32_t number = table_.of_rank(low), size = table_.size(number);
      const Bin<T>& bin = table_[number];
      found = bin.constant() ? Selected<Key>{bin.low, bin.low}
                             : select_keys(block, exchange_.keys + bin.place(), size, low - bin.first, bin.low,
                                           bin.high, counts());
      if (high >= bin.first + size) found.next = table_[table_.of_rank(high)].low;
    }
    const double first = from_key<T>(found.key);
    return low == high ? first : middle(first, static_cast<double>(from_key<T>(found.next)));
  }

  // How many rewards are below one that can be read.
  GAPO_DEVICE uint32_t below(double reward) const {
    uint32_t first = 0, size = wanted_.size, place = 0;
    if (!all_sorted_) {
      const uint32_t number = table_.map(static_cast<T>(reward));
      const Bin<T>& bin = table_[number];
      first = bin.first;
      if (bin.constant()) return first;
      size = table_.size(number);
      place = bin.place();
    }
    uint32_t count = 0;  // known to be below
    while (count < size) {
      const uint32_t middle = (count + size) / 2;
      if (from_key<T>(sorted_[place + middle]) < reward) {
        count = middle + 1;
      } else {
        size = middle;
      }
    }
    return first + count;
  }

  // Rank at which the leftmost narrowest window starts, kNoStart where no window has a width. windows: [blocks].
  GAPO_DEVICE int narrowest_window(Block& block, Window* windows) const {
    const auto narrower_of = [](const Window& a, const Window& b) { return narrower(a, b); };
    constexpr Window none{kInfinity, kNoStart};
    const Window own = block.reduce(
        [&](int thread) {
          Window best = none;
          if (all_sorted_) {
            search_sorted(block, thread, best);
          } else {
            search_bins(block, thread, best);
          }
          return best;
        },
        narrower_of);
    if (block.count == 1) return own.start;
    block.each([&](int thread) {
      if (thread == 0) windows[block.rank] = own;
    });
    block.meet();
    const auto found_by = [=](uint32_t other) { return windows[other]; };
    return block.gather(block.count, none, found_by, narrower_of).start;
  }

 private:
  static constexpr std::size_t order_bytes(uint32_t bins) {
    const std::size_t table = BinTable<T>::bytes(bins), digits = sizeof(DigitTable<Block::kThreads>);
    return table > digits ? table : digits;
  }
  // Behind the bins, which lie where the block's own memory begins.
  GAPO_DEVICE uint32_t* counts() const {
    return reinterpret_cast<uint32_t*>(reinterpret_cast<unsigned char*>(table_.bins) + order_bytes(table_.map.bins));
  }

  GAPO_DEVICE static void include(uint32_t start, double width, Window& best) {
    if (width == width) best = narrower(best, {width, static_cast<int>(start)});
  }

  GAPO_DEVICE void search_sorted(const Block& block, int thread, Window& best) const {
    const uint32_t stride = block.count * Block::kThreads;
    for (uint32_t start = block.rank * Block::kThreads + thread; start + wanted_.window <= wanted_.size;
         start += stride) {
      include(start, (*this)[start + wanted_.window - 1] - (*this)[start], best);
    }
  }

  // Windows that start at a sorted reward, and the first one of every marked bin of equal rewards; those whose last bin
  // was not sorted cannot be the narrowest.
  GAPO_DEVICE void search_bins(const Block& block, int thread, Window& best) const {
    const uint32_t first = block.rank * Block::kThreads + thread, stride = block.count * Block::kThreads;
    for (uint32_t place = first; place < placed_; place += stride) {
      const Bin<T>& bin =
          table_[table_.map(from_key<T>(exchange_.keys[place]))];  // one of its rewards: which, is all the same
      if (bin.sorted()) search_window(bin.first + place - bin.place(), from_key<T>(sorted_[place]), best);
    }
    for (uint32_t number = first; number < table_.map.bins; number += stride) {
      const Bin<T>& bin = table_[number];
      if (bin.sorted() && bin.constant()) search_window(bin.first, bin.smallest(), best);
    }
  }

  GAPO_DEVICE void search_window(uint32_t start, double lower, Window& best) const {
    if (start + wanted_.window > wanted_.size) return;
    const uint32_t last = start + wanted_.window - 1;
    const uint32_t bin = table_.of_rank(last);
    if (table_[bin].sorted()) include(start, reward(bin, last) - lower, best);
  }

  // A reward of a bin that is sorted.
  GAPO_DEVICE double reward(uint32_t number, uint32_t rank) const {
    const Bin<T>& bin = table_[number];
    return from_key<T>(bin.constant() ? bin.low : sorted_[bin.place() + rank - bin.first]);
  }

  BinTable<T> table_;
  Wanted wanted_;
  const Exchange<T>& exchange_;
  const Key* sorted_;
  uint32_t placed_;
  bool all_sorted_;
};

}  // namespace
}  // namespace gapo::cuda
