// The sum of many values, in the same order on every instruction set.
#pragma once

#include "cpu/half.h"
#include "cpu/vec.h"

namespace gapo {
namespace {

// Sums term(value), which takes a float64 or a vector of them, over values[0 .. n): sixteen running sums whatever the
// vector's width, so that every instruction set adds in the same order.
template <typename T, typename Term>
GAPO_INLINE double striped_sum(const T* values, int64_t n, Term term) {
  constexpr int stripes = 16;
  constexpr int vectors = stripes / kLanes<double>;
  Vec<double> sums[vectors] = {};
  int64_t i = 0;
  for (; i + stripes <= n; i += stripes) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v += kParts<T>) {
      const Wide<T> wide = load_wide(values + i + v * kLanes<double>);
#pragma GCC unroll 2
      for (int p = 0; p < kParts<T>; ++p) sums[v + p] += term(wide.part[p]);
    }
  }
  double total = 0.0;
  for (int s = 0; s < stripes; ++s) total += sums[s / kLanes<double>][s % kLanes<double>];
  visit_few(values + i, n - i, [&](double value) { total += term(value); });
  return total;
}

}  // namespace
}  // namespace gapo
