// How to run a sorting network on vectors held in registers.
#pragma once

#include "cpu/vec.h"
#include "sorting_network.h"

namespace gapo {
namespace {

template <typename V>
GAPO_INLINE void exchange(V& low, V& high) {
  const V smaller = min(low, high);
  high = max(low, high);
  low = smaller;
}

template <const auto& kNetwork, int kPresent, std::size_t I, typename V>
GAPO_INLINE void run_comparator(V* values) {
  constexpr Comparator comparator = kNetwork.comparators[I];
  if constexpr (comparator.high < kPresent) exchange(values[comparator.low], values[comparator.high]);
}

template <const auto& kNetwork, int kPresent, typename V, std::size_t... I>
GAPO_INLINE void run_comparators(V* values, std::index_sequence<I...>) {
  (run_comparator<kNetwork, kPresent, I>(values), ...);
}

// Runs the comparators that concern the first kPresent values only.
template <const auto& kNetwork, int kPresent, typename V>
GAPO_INLINE void run_network(V* values) {
  run_comparators<kNetwork, kPresent>(values, std::make_index_sequence<kNetwork.size>{});
}

// Loads N rows, runs the network on them and stores them; each row is a vector.
template <const auto& kNetwork, int N, typename V>
GAPO_INLINE void run_on_rows(V* rows) {
  V values[N];
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) values[i] = rows[i];
  run_network<kNetwork, N>(values);
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) rows[i] = values[i];
}

}  // namespace
}  // namespace gapo
