// Sorting networks as constant lists of comparators, and how to run one on vectors held in registers.
#pragma once

#include "cpu/vec.h"

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

template <typename V>
GAPO_INLINE void exchange(V& low, V& high) {
  const V smaller = min(low, high);
  high = max(low, high);
  low = smaller;
}

template <const auto& kNetwork, typename V, std::size_t... I>
GAPO_INLINE void run_network(V* values, std::index_sequence<I...>) {
  (exchange(values[kNetwork.comparators[I].low], values[kNetwork.comparators[I].high]), ...);
}

template <int N>
inline constexpr auto kSortNetwork = merge_exchange<N>();
template <int N>
inline constexpr auto kMergeNetwork = bitonic_merge<N>();

// Loads N rows, runs the network on them and stores them; each row is a vector.
template <const auto& kNetwork, int N, typename V>
GAPO_INLINE void run_on_rows(V* rows) {
  V values[N];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) values[i] = rows[i];
  run_network<kNetwork>(values, std::make_index_sequence<kNetwork.size>{});
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) rows[i] = values[i];
}

}  // namespace
}  // namespace gapo
