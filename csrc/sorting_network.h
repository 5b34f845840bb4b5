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

template <int N>
inline constexpr auto kSortNetwork = merge_exchange<N>();

// Sorts n values that form a bitonic sequence: halved while n is even, what is left is sorted.
template <int N>
constexpr auto bitonic_merge() {
  Network<N * 8> net;
  int piece = N;
  for (; piece % 2 == 0; piece /= 2) {
    for (int i = 0; i < N; ++i) {
      if (i % piece < piece / 2) net.add(i, i + piece / 2);
    }
  }
  const auto sort = kSortNetwork<N / (N & -N)>;
  for (int first = 0; piece > 1 && first < N; first += piece) {
    for (int i = 0; i < sort.size; ++i) net.add(first + sort.comparators[i].low, first + sort.comparators[i].high);
  }
  return net;
}

template <int N>
inline constexpr auto kMergeNetwork = bitonic_merge<N>();

// Merges two ascending runs of N / 2 values, N a power of two: the second is read backwards.
template <int N>
constexpr auto run_merge() {
  Network<N * 8> net;
  for (int i = 0; i < N / 2; ++i) net.add(i, N - 1 - i);
  for (int i = N / 2; i < kMergeNetwork<N>.size; ++i) {
    net.add(kMergeNetwork<N>.comparators[i].low, kMergeNetwork<N>.comparators[i].high);
  }
  return net;
}

template <int N>
inline constexpr auto kRunMergeNetwork = run_merge<N>();

}  // namespace
}  // namespace gapo
