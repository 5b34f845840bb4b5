// The search for the narrowest window by vectors: many columns side by side, or many windows of one group.
#pragma once

#include "cpu/statistics.h"

namespace gapo {
namespace {

// In each lane the narrowest window of those offered, the first one where widths are equal.
template <typename T>
class NarrowestInLanes {
 public:
  NarrowestInLanes() {
    for (int p = 0; p < kParts<T>; ++p) {
      best_[p] = splat(kInfinity);
      first_[p] = Ranks{} - 1;
    }
  }

  GAPO_INLINE void offer(const Wide<T>& low, const Wide<T>& high, int64_t rank) {
    for (int p = 0; p < kParts<T>; ++p) {
      const Vec<double> width = high.part[p] - low.part[p];
      const Ranks narrower = width < best_[p];
      best_[p] = min(width, best_[p]);  // a width of NaN leaves the best as it is
      first_[p] = narrower ? Ranks{} + rank : first_[p];
    }
  }

  double width(int lane) const { return best_[lane / kLanes<double>][lane % kLanes<double>]; }

  // The rank it was offered with; -1 where no width was finite.
  int64_t rank(int lane) const { return first_[lane / kLanes<double>][lane % kLanes<double>]; }

 private:
  typedef int64_t Ranks __attribute__((vector_size(kVectorBytes)));
  Vec<double> best_[kParts<T>];
  Ranks first_[kParts<T>];
};

// What narrowest_window returns, of ascending values in memory.
template <typename T>
int64_t narrowest_window_of(const T* ascending, int64_t n, int64_t k) {
  const T* const last = ascending + k - 1;
  const int64_t windows = n - k + 1;
  NarrowestInLanes<T> lanes;
  int64_t i = 0;
  for (; i + kLanes<T> <= windows; i += kLanes<T>) lanes.offer(load_wide(ascending + i), load_wide(last + i), i);
  double best = kInfinity;
  int64_t start = -1;
  const auto offer = [&](double width, int64_t rank) {
    if (width < best || (width == best && rank < start)) {
      best = width;
      start = rank;
    }
  };
  for (int lane = 0; lane < kLanes<T>; ++lane) offer(lanes.width(lane), lanes.rank(lane) + lane);
  for (; i < windows; ++i) offer(static_cast<double>(last[i]) - static_cast<double>(ascending[i]), i);
  // no finite width: the order of infinite and undefined ones is the scalar form's business
  return start < 0 ? narrowest_window(ascending, n, k) : start;
}

}  // namespace
}  // namespace gapo
