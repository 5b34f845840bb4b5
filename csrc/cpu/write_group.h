// Writes what a group's statistics give: the advantages of its rewards, and its row of statistics.
#pragma once

#include "cpu/vec.h"
#include "definition.h"

namespace gapo {
namespace {

// advantage[i] = (rewards[i] - Q) / (S + eps) for one group, in float64, rounded once.
template <typename T>
void write_group(const T* rewards, int64_t n, double center, double inverse, T* advantage) {
  if (n < kLanes<T>) {
    for (int64_t i = 0; i < n; ++i) {
      advantage[i] = static_cast<T>((static_cast<double>(rewards[i]) - center) * inverse);
    }
    return;
  }
  for (int64_t row = 0; row < n; row += kLanes<T>) {
    const int64_t i = row + kLanes<T> <= n ? row : n - kLanes<T>;  // the last vector overlaps the one before it
    Wide<T> wide = load_wide(rewards + i);
    for (int p = 0; p < kParts<T>; ++p) wide.part[p] = (wide.part[p] - center) * inverse;
    store_wide(advantage + i, wide);
  }
}

template <typename T>
void write_statistics(const GroupStats& stats, T* row) {
  row[0] = static_cast<T>(stats.center);
  row[1] = static_cast<T>(stats.scale);
  row[2] = static_cast<T>(stats.lower);
  row[3] = static_cast<T>(stats.upper);
}

}  // namespace
}  // namespace gapo
