// float16 and bfloat16 by their definition: a sign, an exponent, a fraction.
#pragma once

#include <cmath>
#include <limits>

#include "cpu/backend.h"

template <typename Token>
struct Format;
template <>
struct Format<gapo::Float16> {
  static constexpr int fraction_bits = 10, least_exponent = -14, largest_exponent = 15;
};
template <>
struct Format<gapo::BFloat16> {
  static constexpr int fraction_bits = 7, least_exponent = -126, largest_exponent = 127;
};

inline double decoded(float token) { return token; }
inline double decoded(double token) { return token; }
template <typename Token>
double decoded(Token token) {
  using F = Format<Token>;
  constexpr int all_ones = F::largest_exponent - F::least_exponent + 2;
  const int fraction = token.bits & ((1 << F::fraction_bits) - 1), exponent = (token.bits & 0x7fff) >> F::fraction_bits;
  double magnitude = std::ldexp(fraction + (exponent > 0 ? 1 << F::fraction_bits : 0),
                                (exponent > 0 ? exponent - 1 : 0) + F::least_exponent - F::fraction_bits);
  if (exponent == all_ones) {
    magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return token.bits & 0x8000 ? -magnitude : magnitude;
}

// The value of the token nearest to a float, of two the one with an even fraction.
template <typename Token>
double rounded(gapo::Computed<Token> value) {
  if constexpr (sizeof(Token) == sizeof(value)) {
    return value;
  } else {
    using F = Format<Token>;
    if (value == 0 || !std::isfinite(value)) return value;
    const double step = std::ldexp(1, std::max(std::ilogb(value), F::least_exponent) - F::fraction_bits);
    const double nearest = std::nearbyint(value / step) * step;
    return std::abs(nearest) < std::ldexp(1, F::largest_exponent + 1)
               ? nearest
               : std::copysign(std::numeric_limits<double>::infinity(), value);
  }
}

// The token of a value that it can hold and that is no subnormal.
template <typename Token>
Token encoded(double value) {
  if constexpr (sizeof(Token) > 2) {
    return static_cast<Token>(value);
  } else {
    using F = Format<Token>;
    const int sign = std::signbit(value) ? 0x8000 : 0;
    if (value == 0) return {static_cast<uint16_t>(sign)};
    if (value != value) return {0x7fff};
    const int exponent = std::ilogb(value);
    const double fraction = std::ldexp(std::abs(value), F::fraction_bits - exponent);
    const int biased = exponent - F::least_exponent + 1;
    return {static_cast<uint16_t>(sign + ((biased - 1) << F::fraction_bits) + static_cast<int>(fraction))};
  }
}
