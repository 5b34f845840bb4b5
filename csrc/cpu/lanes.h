// A value for each of the groups that are computed side by side, and one of their columns by itself.
#pragma once

#include "cpu/vec.h"
#include "definition.h"

namespace gapo {
namespace {

// One float64 a lane, in memory, so that vector steps and lane steps can take turns.
template <typename T>
struct alignas(kVectorBytes) Lanes {
  double value[kLanes<T>];
  double& operator[](int lane) { return value[lane]; }
  double operator[](int lane) const { return value[lane]; }
  Vec<double> part(int p) const { return load(value + p * kLanes<double>); }
  void set_part(int p, Vec<double> v) { store(value + p * kLanes<double>, v); }
};

// GroupStats of every lane.
template <typename T>
struct LaneStats {
  Lanes<T> center{}, scale, lower, upper, inverse;
  GroupStats operator[](int lane) const { return {center[lane], scale[lane], lower[lane], upper[lane], inverse[lane]}; }
};

// One column as a sequence of float64.
template <typename T>
struct Column {
  const T* top;
  Column(const Vec<T>* columns, int lane) : top(reinterpret_cast<const T*>(columns) + lane) {}
  double operator[](int64_t row) const { return top[row * kLanes<T>]; }
};

}  // namespace
}  // namespace gapo
