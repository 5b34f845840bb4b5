// Turns an op's arguments into a Rule, or into the text of what is wrong with them: the torch ops and the NumPy
// functions refuse the same values in the same words.
#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <variant>

#include "definition.h"

namespace gapo {

template <typename Table>
std::string names_of(const Table& table) {
  std::string names;
  for (const auto& entry : table) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

// The shortest digits that read back as this value: 1.0000001 is not called 1.
inline std::string digits(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

// The rule, or, if the arguments name none, "expects …, got …", which the caller puts after the op's name.
inline std::variant<Rule, std::string> read_rule(double tau, std::string_view center, std::string_view scale,
                                                 double eps) {
  using std::string;
  const auto found_center = find_name(kCenters, center);
  const auto found_scale = find_name(kScales, scale);
  if (!(tau > 0 && tau <= 1)) return "expects 0 < tau <= 1, got " + digits(tau);
  if (!(eps >= 0 && std::isfinite(eps))) return "expects a finite eps >= 0, got " + digits(eps);
  if (!found_center) return "expects center to be one of " + names_of(kCenters) + ", got '" + string(center) + "'";
  if (!found_scale) return "expects scale to be one of " + names_of(kScales) + ", got '" + string(scale) + "'";
  return Rule{tau, *found_center, *found_scale, eps};
}

}  // namespace gapo
