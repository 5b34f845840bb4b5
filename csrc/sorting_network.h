// Sorting networks as constant lists of comparators, for every backend.
#pragma once

#include <array>
#include <utility>

namespace gapo {
namespace {

struct Comparator {
  int low, high;  // after it, value[low] <= value[high]
};

template <int Capacity>
struct Network {
  std::array<Comparator, Capacity> comparators{};
  int size = 0;
  constexpr void add(int low, int high) { comparators[size++] = {low, high}; }
};

// Batcher's merge exchange for any n (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M).
template <int N>
constexpr auto merge_exchange() {
  Network<N * 8> net;
  int top = 1;
  while (top * 2 < N) top *= 2;
  for (int p = top; N > 1 && p > 0; p /= 2) {
    for (int q = top, r = 0, d = p;; d = q - p, q /= 2, r = p) {
      for (int i = 0; i + d < N; ++i) {
        if ((i & p) == r) net.add(i, i + d);
      }
      if (q == p) break;
    }
  }
  return net;
}

// Sorts n values that form a bitonic sequence, n a power of two.
template <int N>
constexpr auto bitonic_merge() {
  Network<N * 8> net;
  for (int stride = N / 2; stride > 0; stride /= 2) {
    for (int i = 0; i < N; ++i) {
      if ((i & stride) == 0) net.add(i, i + stride);
    }
  }
  return net;
}

template <int N>
inline constexpr auto kSortNetwork = merge_exchange<N>();
template <int N>
inline constexpr auto kMergeNetwork = bitonic_merge<N>();

}  // namespace
}  // namespace gapo
