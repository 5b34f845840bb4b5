// Order statistics of one group by sorting it, with the functions of RankedGroup.
#pragma once

#include "cpu/sort_group.h"
#include "cpu/window_search.h"

namespace gapo {
namespace {

template <typename T>
class SortedGroup {
 public:
  SortedGroup(const T* rewards, int64_t n) : n_(n), sorted_(n) { sort_group(rewards, sorted_.data(), n); }

  int64_t narrowest_window(int64_t k, bool /*with_median*/) { return narrowest_window_of(sorted_.data(), n_, k); }
  double operator[](int64_t rank) { return sorted_[rank]; }
  void sort_all() {}

 private:
  int64_t n_;
  Buffer<T> sorted_;
};

}  // namespace
}  // namespace gapo
