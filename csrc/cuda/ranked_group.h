// A large group's rewards by rank: as far as its bins were sorted, or all of them.
#pragma once

#include "cuda/sort_group.h"
#include "cuda/survivors.h"

namespace gapo::cuda {
namespace {

// What ranking within bins may cost a reward of the group; beyond it the full sort is cheaper. A guess: not measured.
inline constexpr double kMostComparisons = 32.0;

template <typename T, typename Block>
class RankedGroup {
 public:
  using Key = KeyOf<T>;

  // Afterwards the narrowest window can be searched, and the ranks of `wanted` read. memory: shared_bytes(bins).
  GAPO_DEVICE RankedGroup(Block& block, const LargeGroup<T>& group, T low, T high, const Wanted& wanted,
                          unsigned char* memory, uint32_t bins, const Exchange<T>& exchange)
      : table_(memory, bins), wanted_(wanted) {
    choose_map(block, group, low, high, table_);
    fill_bins(block, group, table_, exchange);
    mark_bins(block, table_, wanted);
    double comparisons;
    placed_ = place_bins(block, table_, comparisons);
    all_sorted_ = comparisons > kMostComparisons * static_cast<double>(wanted.size);
    if (all_sorted_) {
      auto& digits = *reinterpret_cast<DigitTable<Block::kThreads>*>(memory);  // the bins are not needed any more
      sorted_ = sort_group(block, group, exchange, digits);
    } else {
      if (placed_ > 0) sort_placed_bins(block, group, table_, placed_, exchange);
      sorted_ = exchange.sorted;
    }
  }

  static constexpr std::size_t shared_bytes(uint32_t bins) {
    const std::size_t table = BinTable<T>::bytes(bins), digits = sizeof(DigitTable<Block::kThreads>);
    return table > digits ? table : digits;
  }

  // How many rewards were sorted.
  GAPO_DEVICE uint32_t sorted_count() const { return all_sorted_ ? wanted_.size : placed_; }

  GAPO_DEVICE double operator[](uint32_t rank) const {
    if (all_sorted_) return from_key<T>(sorted_[rank]);
    return table_.reward(table_.of_rank(rank), rank, sorted_);
  }

  // How many rewards are below one that can be read.
  GAPO_DEVICE uint32_t below(double reward) const {
    uint32_t first = 0, size = wanted_.size, place = 0;
    if (!all_sorted_) {
      const uint32_t bin = table_.map(static_cast<T>(reward));
      first = table_.first[bin];
      if (table_.constant(bin)) return first;
      size = table_.size(bin);
      place = table_.slot[bin];
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
    const Window own = block.reduce(
        [&](int thread) {
          Window best{kInfinity, kNoStart};
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
    return block
        .reduce(
            [&](int thread) {
              Window best{kInfinity, kNoStart};
              for (int other = thread; other < block.count; other += Block::kThreads) {
                best = narrower(best, windows[other]);
              }
              return best;
            },
            narrower_of)
        .start;
  }

 private:
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

  // Windows that start at a sorted reward, and the first one of every bin of equal rewards; those whose last bin was
  // not sorted cannot be the narrowest.
  GAPO_DEVICE void search_bins(const Block& block, int thread, Window& best) const {
    const uint32_t first = block.rank * Block::kThreads + thread, stride = block.count * Block::kThreads;
    for (uint32_t place = first; place < placed_; place += stride) {
      const T reward = from_key<T>(sorted_[place]);
      const uint32_t bin = table_.map(reward);
      search_window(table_.first[bin] + place - table_.slot[bin], reward, best);
    }
    for (uint32_t bin = first; bin < table_.map.bins; bin += stride) {
      if (table_.size(bin) > 0 && table_.constant(bin)) search_window(table_.first[bin], table_.smallest(bin), best);
    }
  }

  GAPO_DEVICE void search_window(uint32_t start, double lower, Window& best) const {
    if (start + wanted_.window > wanted_.size) return;
    const uint32_t last = start + wanted_.window - 1;
    const uint32_t bin = table_.of_rank(last);
    if (table_.readable(bin)) include(start, table_.reward(bin, last, sorted_) - lower, best);
  }

  BinTable<T> table_;
  Wanted wanted_;
  uint32_t placed_ = 0;
  bool all_sorted_ = false;
  const Key* sorted_ = nullptr;
};

}  // namespace
}  // namespace gapo::cuda
