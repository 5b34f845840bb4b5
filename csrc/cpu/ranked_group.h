// Order statistics of one large group without sorting it: bins bound every window's width, and only the bins that can
// hold the narrowest window are sorted.
//
// A monotone map puts each reward into one of m bins of equal width (the two outermost also take what lies beyond). A
// window that starts in bin a and ends in bin b is wider than b - a - 1 bins and narrower than b - a + 1. With D the
// smallest b - a of any window, no window with b - a > D + 2 can be the narrowest. The map's rounding is far below a
// bin (m * 2^-22), and the margin of a whole bin covers it. The same holds for blocks of bins: they rule out most
// windows first, at a sixteenth of the work. Where bins do not help (infinities, a range that overflows, evenly spaced
// rewards, most of the group in bins that survive) the group is sorted.
#pragma once

#include "cpu/chunks.h"
#include "cpu/radix_sort.h"
#include "cpu/statistics.h"

namespace gapo {
namespace {

template <typename T>
class RankedGroup {
 public:
  RankedGroup(const T* rewards, int64_t n, const Range<T>& range, ParallelFor parallel_for)
      : rewards_(rewards),
        n_(n),
        parallel_for_(parallel_for),
        bins_(bins_for(n)),
        bin_of_(n),
        first_rank_(bins_ + 1),
        slot_(bins_),
        sorted_(n) {
    if (set_map(range)) {
      count_bins();
      for (int64_t b = 0; b < bins_; ++b) slot_[b] = kAbsent;
    } else {
      sort_all();
    }
  }

  // Rank at which the leftmost narrowest window of k starts; its median's ranks are brought along where they are
  // wanted.
  int64_t narrowest_window(int64_t k, bool with_median) {
    if (!all_sorted_) sort_candidates(k, with_median);
    if (all_sorted_) return gapo::narrowest_window(*this, n_, k);
    double best = kInfinity;
    int64_t start = -1;
    for_each_candidate(k, [&](const Span& span) {
      const T* low = in_bin(span.low, 0);
      const T* high = in_bin(span.high, k - 1);
      for (int64_t i = span.begin; i < span.end; ++i) {
        const double width = static_cast<double>(high[i]) - static_cast<double>(low[i]);
        if (width < best) {
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
    const int64_t b = bin_of_rank(rank);
    if (slot_[b] == kAbsent) {
      Buffer<uint8_t> wanted(bins_);
      wanted.zero();
      wanted[b] = 1;
      sort_bins(wanted);
    }
    return in_bin(b, 0)[rank];
  }

  void sort_all() {
    radix_sort(rewards_, sorted_.data(), n_);
    all_sorted_ = true;
  }

 private:
  static constexpr int64_t kAbsent = -1;
  static constexpr int kTables = 2;  // of counts, taken in turn: equal rewards in a row do not wait for one another

  static constexpr int64_t kBlockOfBins = 16;

  // The windows that start at ranks [begin, end) all start in bin `low` and end in bin `high` (or in blocks of bins).
  struct Span {
    int64_t begin, end, low, high;
  };

  static int64_t bins_for(int64_t n) {
    int64_t bins = 1024;
    while (bins < 8192 && bins * 4 < n) bins *= 2;
    return bins;
  }

  // The sorted values of a bin, as a pointer that is indexed by rank - shift.
  const T* in_bin(int64_t b, int64_t shift) { return sorted_.data() + (slot_[b] - first_rank_[b] + shift); }

  // Chooses the range that the bins cut up: most of a sample, and not much more, so that outliers do not stretch it.
  bool set_map(const Range<T>& range) {
    if (!std::isfinite(range.low) || !std::isfinite(range.high)) return false;
    constexpr int64_t sample_size = 256;
    T sample[sample_size];
    for (int64_t i = 0; i < sample_size; ++i) sample[i] = rewards_[i * n_ / sample_size];
    radix_sort(sample, sample, sample_size);
    const T low = sample[sample_size / 20], high = sample[sample_size - 1 - sample_size / 20];
    const T margin = 2 * (high - low);
    low_ = margin > 0 && low - margin > range.low ? low - margin : range.low;
    const T top = margin > 0 && high + margin < range.high ? high + margin : range.high;
    scale_ = static_cast<T>(bins_) / (top - low_);
    clipped_low_ = low_ > range.low;
    clipped_high_ = top < range.high;
    return std::isfinite(scale_) && scale_ > 0;
  }

  void count_bins() {
    const int64_t chunks = chunk_count(n_);
    Buffer<uint16_t> counts(chunks * kTables * bins_);  // a chunk's counts fit: kChunk < 2^16
    counts.zero();
    for_each_chunk(n_, parallel_for_, [&](int64_t chunk, int64_t begin, int64_t end) {
      const T low = low_, scale = scale_, last = static_cast<T>(bins_ - 1);
      const T* rewards = rewards_;
      uint16_t* bin_of = bin_of_.data();
      for (int64_t i = begin; i < end; ++i) {
        const T position = (rewards[i] - low) * scale;
        const T floor = position > 0 ? position : 0;
        bin_of[i] = static_cast<uint16_t>(static_cast<int32_t>(floor < last ? floor : last));
      }
      uint16_t* table = counts.data() + chunk * kTables * bins_;
      int64_t i = begin;
      for (; i + kTables <= end; i += kTables) {
        for (int t = 0; t < kTables; ++t) ++table[t * bins_ + bin_of[i + t]];
      }
      for (; i < end; ++i) ++table[bin_of[i]];
    });
    for (int64_t b = 0; b <= bins_; ++b) first_rank_[b] = 0;
    for (int64_t t = 0; t < chunks * kTables; ++t) {
      for (int64_t b = 0; b < bins_; ++b) first_rank_[b + 1] += counts[t * bins_ + b];
    }
    for (int64_t b = 0; b < bins_; ++b) first_rank_[b + 1] += first_rank_[b];
  }

  // The last bin whose first rank is <= rank and that is not empty: where that rank lies.
  int64_t bin_of_rank(int64_t rank) {
    int64_t low = 0, high = bins_;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (first_rank_[middle] <= rank ? low : high) = middle;
    }
    return low;
  }

  // Visits the spans of the windows of k that start at ranks [from.begin, from.end), in order, bins taken `step` at a
  // time; from.low and from.high are at or before the first one's.
  template <typename Visit>
  void for_each_span(Span from, int64_t k, int64_t step, Visit visit) {
    const uint32_t* first = first_rank_.data();
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
    const bool open = (clipped_low_ && span.low == 0) || (clipped_high_ && (span.high + 1) * step == bins_);
    if (!open && span.high - span.low < closest) closest = span.high - span.low;
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
    closest_block_ = closest_ = bins_;
    for_each_span({0, n_ - k + 1, 0, 0}, k, kBlockOfBins,
                  [&](const Span& block) { narrow_down(block, kBlockOfBins, closest_block_); });
    for_each_bin_span(k, [&](const Span& span) { narrow_down(span, 1, closest_); });
    Buffer<uint8_t> wanted(bins_);
    wanted.zero();
    int64_t middle = -1;  // the bin of the last median's upper rank
    for_each_candidate(k, [&](const Span& span) {
      wanted[span.low] = wanted[span.high] = 1;
      if (!with_median) return;
      if (middle < 0) middle = bin_of_rank(span.begin + (k - 1) / 2);
      while (first_rank_[middle + 1] <= span.begin + (k - 1) / 2) ++middle;
      wanted[middle] = 1;
      while (first_rank_[middle + 1] <= span.end - 1 + k / 2) wanted[++middle] = 1;
    });
    int64_t total = 0;
    for (int64_t b = 0; b < bins_; ++b) total += wanted[b] ? first_rank_[b + 1] - first_rank_[b] : 0;
    if (total > n_ / 2) {
      sort_all();
    } else {
      sort_bins(wanted);
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
    radix_sort(first, first, total);
    for (int64_t b = 0; b < bins_; ++b) {
      if (!wanted[b]) continue;
      slot_[b] = used_;
      used_ += first_rank_[b + 1] - first_rank_[b];
    }
  }

  const T* rewards_;
  int64_t n_;
  ParallelFor parallel_for_;
  int64_t bins_;
  T low_{}, scale_{};
  bool clipped_low_ = false, clipped_high_ = false, all_sorted_ = false;
  int64_t closest_block_ = 0, closest_ = 0;  // the smallest distance of a window's last bin from its first
  int64_t used_ = 0;
  Buffer<uint16_t> bin_of_;      // of each reward, in the caller's order
  Buffer<uint32_t> first_rank_;  // of each bin, and n at the end
  Buffer<int64_t> slot_;         // where a sorted bin lies in sorted_, or kAbsent
  Buffer<T> sorted_;             // sorted bins one after the other, or the whole group
};

}  // namespace
}  // namespace gapo
