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

template <const auto& kNetwork, typename V, std::size_t... I>
GAPO_INLINE void run_network(V* values, std::index_sequence<I...>) {
  (exchange(values[kNetwork.comparators[I].low], values[kNetwork.comparators[I].high]), ...);
}

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
