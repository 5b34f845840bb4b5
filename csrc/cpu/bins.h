// One large group's rewards, counted into bins of equal width by a monotone map; the two outermost bins also take what
// lies beyond. The map's rounding is far below a bin (m * 2^-22 of m bins).
#pragma once

#include "cpu/chunks.h"
#include "cpu/range.h"
#include "cpu/sort_group.h"

namespace gapo {
namespace {

template <typename T>
class Bins {
 public:
  Bins(const T* rewards, int64_t n, const Range<T>& range, ParallelFor parallel_for)
      : rewards_(rewards), n_(n), count_(count_for(n)), bin_of_(n), first_rank_(count_ + 1) {
    useful_ = set_map(range);
    if (useful_) count_rewards(parallel_for);
  }

  // Infinities and ranges that overflow have no bins.
  bool useful() const { return useful_; }
  int64_t count() const { return count_; }
  const uint16_t* of_rewards() { return bin_of_.data(); }       // [n], in the caller's order
  const uint32_t* first_ranks() { return first_rank_.data(); }  // of each bin, and n at the end
  int64_t size(int64_t b) { return first_rank_[b + 1] - first_rank_[b]; }
  // False for an outermost bin that took rewards from beyond it.
  bool has_width(int64_t b) const { return !(open_below_ && b == 0) && !(open_above_ && b == count_ - 1); }

  // The last bin whose first rank is <= rank and that is not empty: where that rank lies.
  int64_t of_rank(int64_t rank) {
    int64_t low = 0, high = count_;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (first_rank_[middle] <= rank ? low : high) = middle;
    }
    return low;
  }

 private:
  static constexpr int kTables = 2;  // of counts, taken in turn: equal rewards in a row do not wait for one another

  static int64_t count_for(int64_t n) {
    int64_t bins = 1024;
    while (bins < 8192 && bins * 4 < n) bins *= 2;
    return bins;
  }

  // Chooses the range that the bins cut up: the middle nine tenths of a sample and as much again twice on either side,
  // at most the whole range, so that outliers do not stretch it.
  bool set_map(const Range<T>& range) {
    if (!std::isfinite(range.low) || !std::isfinite(range.high)) return false;
    constexpr int64_t sample_size = 256;
    T sample[sample_size];
    for (int64_t i = 0; i < sample_size; ++i) sample[i] = rewards_[i * n_ / sample_size];
    sort_group(sample, sample, sample_size);
    const T low = sample[sample_size / 20], high = sample[sample_size - 1 - sample_size / 20];
    const T margin = 2 * (high - low);
    low_ = margin > 0 && low - margin > range.low ? low - margin : range.low;
    const T top = margin > 0 && high + margin < range.high ? high + margin : range.high;
    scale_ = static_cast<T>(count_) / (top - low_);
    open_below_ = low_ > range.low;
    open_above_ = top < range.high;
    return std::isfinite(scale_) && scale_ > 0;
  }

  void count_rewards(ParallelFor parallel_for) {
    const int64_t chunks = chunk_count(n_);
    Buffer<uint16_t> counts(chunks * kTables * count_);  // a chunk's counts fit: kChunk < 2^16
    counts.zero();
    for_each_chunk(n_, parallel_for, [&](int64_t chunk, int64_t begin, int64_t end) {
      const T low = low_, scale = scale_, last = static_cast<T>(count_ - 1);
      const T* rewards = rewards_;
      uint16_t* bin_of = bin_of_.data();
      for (int64_t i = begin; i < end; ++i) {
        const T position = (rewards[i] - low) * scale;
        const T floor = position > 0 ? position : 0;
        bin_of[i] = static_cast<uint16_t>(static_cast<int32_t>(floor < last ? floor : last));
      }
      uint16_t* table = counts.data() + chunk * kTables * count_;
      int64_t i = begin;
      for (; i + kTables <= end; i += kTables) {
        for (int t = 0; t < kTables; ++t) ++table[t * count_ + bin_of[i + t]];
      }
      for (; i < end; ++i) ++table[bin_of[i]];
    });
    for (int64_t b = 0; b <= count_; ++b) first_rank_[b] = 0;
    for (int64_t t = 0; t < chunks * kTables; ++t) {
      for (int64_t b = 0; b < count_; ++b) first_rank_[b + 1] += counts[t * count_ + b];
    }
    for (int64_t b = 0; b < count_; ++b) first_rank_[b + 1] += first_rank_[b];
  }

  const T* rewards_;
  int64_t n_;
  int64_t count_;
  T low_{}, scale_{};
  bool useful_, open_below_ = false, open_above_ = false;
  Buffer<uint16_t> bin_of_;
  Buffer<uint32_t> first_rank_;
};

}  // namespace
}  // namespace gapo
