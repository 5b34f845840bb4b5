// Order statistics of one large group without sorting it: bins bound every window's width, and only the bins that can
// hold the narrowest window are sorted.
//
// A window that starts in bin a and ends in bin b is wider than b - a - 1 bins and narrower than b - a + 1. With D the
// smallest b - a of any window, no window with b - a > D + 2 can be the narrowest: the margin of a whole bin covers the
// map's rounding. The same holds for blocks of bins: they rule out most windows first, at a sixteenth of the work.
// Where most of the group is in bins that survive (evenly spaced rewards, a few distinct ones) the whole group is
// sorted, bin by bin.
#pragma once

#include "cpu/bins.h"
#include "cpu/window_search.h"

namespace gapo {
namespace {

template <typename T>
class RankedGroup {
 public:
  RankedGroup(const T* rewards, int64_t n, const Range<T>& range, ParallelFor parallel_for)
      : rewards_(rewards),
        n_(n),
        parallel_for_(parallel_for),
        bins_(rewards, n, range, parallel_for),
        bin_of_(bins_.of_rewards()),
        first_rank_(bins_.first_ranks()),
        slot_(bins_.count()),
        sorted_(n) {
    if (bins_.useful()) {
      for (int64_t b = 0; b < bins_.count(); ++b) slot_[b] = kAbsent;
    } else {
      sort_all();
    }
  }

  // Rank at which the leftmost narrowest window of k starts; its median's ranks are brought along where they are
  // wanted.
  int64_t narrowest_window(int64_t k, bool with_median) {
    if (!all_sorted_) sort_candidates(k, with_median);
    if (all_sorted_) return narrowest_window_of(sorted_.data(), n_, k);
    double best = kInfinity;
    int64_t start = -1;
    for_each_candidate(k, [&](const Span& span) {
      const T* low = in_bin(span.low, 0);
      const T* high = in_bin(span.high, k - 1);
      for (int64_t i = span.begin; i < span.end; ++i) {
        const double width = static_cast<double>(high[i]) - static_cast<double>(low[i]);
        if (width < best || start < 0) {  // no width is NaN here, but all may be infinite
          best = width;
          start = i;
        }
      }
    });
    return start;
  }

  // The reward of a rank; its bin is sorted first where it was not yet.
  double operator[](int64_t rank) {
    if (all_sorted_) return sorted_[rank];
    const int64_t b = bins_.of_rank(rank);
    if (slot_[b] == kAbsent) {
      Buffer<uint8_t> wanted(bins_.count());
      wanted.zero();
      wanted[b] = 1;
      sort_bins(wanted);
    }
    return in_bin(b, 0)[rank];
  }

  void sort_all() {
    bins_.useful() ? sort_by_bins() : sort_group(rewards_, sorted_.data(), n_);
    all_sorted_ = true;
  }

 private:
  static constexpr int64_t kAbsent = -1;
  static constexpr int64_t kBlockOfBins = 16;
  static constexpr int64_t kSortedAtOnce = 512;  // rewards: their columns stay in an L1

  // The windows that start at ranks [begin, end) all start in bin `low` and end in bin `high` (or in blocks of bins).
  struct Span {
    int64_t begin, end, low, high;
  };

  // The sorted values of a bin, as a pointer that is indexed by rank - shift.
  const T* in_bin(int64_t b, int64_t shift) { return sorted_.data() + (slot_[b] - first_rank_[b] + shift); }

  // Visits the spans of the windows of k that start at ranks [from.begin, from.end), in order, bins taken `step` at a
  // time; from.low and from.high are at or before the first one's.
  template <typename Visit>
  void for_each_span(Span from, int64_t k, int64_t step, Visit visit) {
    const uint32_t* first = first_rank_;
    Span span = from;
    while (span.begin < from.end) {
      while (first[(span.low + 1) * step] <= span.begin) ++span.low;
      while (first[(span.high + 1) * step] <= span.begin + k - 1) ++span.high;
      const int64_t end_low = first[(span.low + 1) * step];
      const int64_t end_high = static_cast<int64_t>(first[(span.high + 1) * step]) - k + 1;
      span.end = end_low < end_high ? end_low : end_high;
      if (span.end > from.end) span.end = from.end;
      visit(span);
      span.begin = span.end;
    }
  }

  // The smallest high - low of the spans whose windows' widths are bounded from above.
  void narrow_down(const Span& span, int64_t step, int64_t& closest) const {
    const bool bounded = bins_.has_width(span.low * step) && bins_.has_width((span.high + 1) * step - 1);
    if (bounded && span.high - span.low < closest) closest = span.high - span.low;
  }

  template <typename Visit>
  void for_each_candidate_block(int64_t k, Visit visit) {
    for_each_span({0, n_ - k + 1, 0, 0}, k, kBlockOfBins, [&](const Span& block) {
      if (block.high - block.low <= closest_block_ + 2) visit(block);
    });
  }

  template <typename Visit>
  void for_each_bin_span(int64_t k, Visit visit) {
    for_each_candidate_block(k, [&](const Span& block) {
      for_each_span({block.begin, block.end, block.low * kBlockOfBins, block.high * kBlockOfBins}, k, 1, visit);
    });
  }

  template <typename Visit>
  void for_each_candidate(int64_t k, Visit visit) {
    for_each_bin_span(k, [&](const Span& span) {
      if (span.high - span.low <= closest_ + 2) visit(span);
    });
  }

  // Sorts the bins in which the narrowest window of k can start or end, or everything where those hold too much.
  void sort_candidates(int64_t k, bool with_median) {
    closest_block_ = closest_ = bins_.count();
    for_each_span({0, n_ - k + 1, 0, 0}, k, kBlockOfBins,
                  [&](const Span& block) { narrow_down(block, kBlockOfBins, closest_block_); });
    for_each_bin_span(k, [&](const Span& span) { narrow_down(span, 1, closest_); });
    Buffer<uint8_t> wanted(bins_.count());
    wanted.zero();
    int64_t middle = -1;  // the bin of the last median's upper rank
    for_each_candidate(k, [&](const Span& span) {
      wanted[span.low] = wanted[span.high] = 1;
      if (!with_median) return;
      if (middle < 0) middle = bins_.of_rank(span.begin + (k - 1) / 2);
      while (first_rank_[middle + 1] <= span.begin + (k - 1) / 2) ++middle;
      wanted[middle] = 1;
      while (first_rank_[middle + 1] <= span.end - 1 + k / 2) wanted[++middle] = 1;
    });
    int64_t total = 0;
    for (int64_t b = 0; b < bins_.count(); ++b) total += wanted[b] ? bins_.size(b) : 0;
    if (total > n_ / 2) {
      sort_all();
    } else {
      sort_bins(wanted);
    }
  }

  // Brings the rewards into the order of their bins, then sorts some bins at a time; those of one reward are sorted.
  void sort_by_bins() {
    Buffer<uint32_t> next(bins_.count());
    std::memcpy(next.data(), first_rank_, static_cast<std::size_t>(bins_.count()) * sizeof(uint32_t));
    for (int64_t i = 0; i < n_; ++i) sorted_[next[bin_of_[i]]++] = rewards_[i];
    for (int64_t b = 0; b < bins_.count();) {
      const int64_t first = first_rank_[b];
      do {
        ++b;
      } while (b < bins_.count() && first_rank_[b] - first < kSortedAtOnce);
      const int64_t count = first_rank_[b] - first;
      T* const run = sorted_.data() + first;
      const Range<T> range = range_of(run, count);
      if (range.low < range.high) sort_group(run, run, count);
    }
  }

  // Sorts the rewards of the wanted bins behind what is sorted already; bins are in order, so one sort serves them all.
  void sort_bins(Buffer<uint8_t>& wanted) {
    const int64_t chunks = chunk_count(n_);
    Buffer<T> kept(n_);
    Buffer<int64_t> kept_count(chunks);
    for_each_chunk(n_, parallel_for_, [&](int64_t chunk, int64_t begin, int64_t end) {
      int64_t out = begin;
      for (int64_t i = begin; i < end; ++i) {
        kept[out] = rewards_[i];
        out += wanted[bin_of_[i]];
      }
      kept_count[chunk] = out - begin;
    });
    T* const first = sorted_.data() + used_;
    int64_t total = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      std::memcpy(first + total, kept.data() + chunk * kChunk, static_cast<std::size_t>(kept_count[chunk]) * sizeof(T));
      total += kept_count[chunk];
    }
    sort_group(first, first, total);
    for (int64_t b = 0; b < bins_.count(); ++b) {
      if (!wanted[b]) continue;
      slot_[b] = used_;
      used_ += bins_.size(b);
    }
  }

  const T* rewards_;
  int64_t n_;
  ParallelFor parallel_for_;
  Bins<T> bins_;
  const uint16_t* bin_of_;      // of each reward, in the caller's order
  const uint32_t* first_rank_;  // of each bin, and n at the end
  bool all_sorted_ = false;
  int64_t closest_block_ = 0, closest_ = 0;  // the smallest distance of a window's last bin from its first
  int64_t used_ = 0;
  Buffer<int64_t> slot_;  // where a sorted bin lies in sorted_, or kAbsent
  Buffer<T> sorted_;      // sorted bins one after the other, or the whole group
};

}  // namespace
}  // namespace gapo
