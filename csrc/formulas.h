// The scalar formulas that every backend's statistics share.
//
// In an unnamed namespace, for the reason that cpu/vec.h gives. scale_of also takes vectors: where it does, their
// square_root has to be declared before this header, as cpu/vec.h does.
#pragma once

#include <cmath>
#include <limits>

#include "definition.h"

namespace gapo {
namespace {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

GAPO_HD GAPO_INLINE double square_root(double value) { return __builtin_sqrt(value); }

GAPO_HD inline bool is_finite(double value) { return value - value == 0.0; }

// Means are taken about a member, so that equal rewards give exactly that reward; an infinite anchor is no help.
GAPO_HD inline double anchor_of(double member) { return is_finite(member) ? member : 0.0; }

// Which of -0 and +0 lies at a rank is an accident of the sort: what is read off must not tell.
GAPO_HD inline double positive_zero(double value) { return value + 0.0; }

// Q as it is reported and used: of the rewards' precision.
template <typename T>
GAPO_HD inline double rounded_center(double center) {
  return positive_zero(static_cast<T>(center));
}

// The mean of two values, exact where they are equal, even where their sum would overflow. Value: double or a vector.
template <typename Value>
GAPO_HD GAPO_INLINE Value middle(Value low, Value high) {
  return low == high ? low : (low + high) / 2.0;
}

template <typename Value>
struct GroupScale {
  Value scale, inverse;
};

// S and 1 / (S + eps) of a group of n >= 2, from the sum of squares (rms) or the median deviation (mad) about its
// centre. loo_mean scores r - the mean of the others, which is (r - mean) * n / (n - 1): the factor goes into both.
// Value is double or a vector of them.
template <typename Value>
GAPO_HD GAPO_INLINE GroupScale<Value> scale_of(const Rule& rule, Value n, Value spread) {
  const Value one = Value{} + 1.0;
  const Value factor = rule.center == Center::kLooMean ? n / (n - 1.0) : one;
  if (rule.scale == Scale::kNone) return {one, factor};
  const Value scale = factor * (rule.scale == Scale::kRms ? square_root(spread / (n - 1.0)) : kMadToSigma * spread);
  return {scale, factor / (scale + rule.eps)};
}

GAPO_HD inline GroupStats nan_group() { return {kNan, kNan, kNan, kNan, kNan}; }

GAPO_HD inline GroupStats group_of_one(const Rule& rule, double reward) {
  return {0.0, 1.0, reward, reward, rule.scale == Scale::kNone ? 1.0 : 1.0 / (1.0 + rule.eps)};
}

}  // namespace
}  // namespace gapo
