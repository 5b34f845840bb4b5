#include "reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "check.h"

using gapo::Center;
using gapo::Scale;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
using Values = std::vector<double>;

int64_t size_of(const Values& values) { return static_cast<int64_t>(values.size()); }

double median(const Values& ascending, int64_t first, int64_t count) {
  const double low = ascending[first + (count - 1) / 2], high = ascending[first + count / 2];
  return low == high ? low : (low + high) / 2;
}

long double mean(const Values& values, int64_t first, int64_t count) {
  long double sum = 0;
  for (int64_t i = first; i < first + count; ++i) sum += values[i];
  return sum / static_cast<long double>(count);
}

int64_t narrowest_window(const Values& ascending, int64_t k) {
  int64_t best = -1;
  double best_width = kNan;
  for (int64_t i = 0; i + k <= size_of(ascending); ++i) {
    const double width = ascending[i + k - 1] - ascending[i];
    if (!std::isnan(width) && !(width >= best_width)) {
      best_width = width;
      best = i;
    }
  }
  return best;
}

long double center_of(const Values& values, const Values& ascending, int64_t start, int64_t k, Center center) {
  switch (center) {
    case Center::kHdiMedian:
      return start < 0 ? kNan : median(ascending, start, k);
    case Center::kHdiMean:
      return start < 0 ? kNan : mean(ascending, start, k);
    case Center::kQuantile:
      return ascending[k - 1];
    case Center::kMedian:
      return median(ascending, 0, size_of(values));
    case Center::kMean:
    case Center::kLooMean:
      return mean(values, 0, size_of(values));
    case Center::kNone:
      break;
  }
  return 0;
}

long double scale_of(const std::vector<long double>& deviations, Scale scale) {
  if (scale == Scale::kNone) return 1;
  if (scale == Scale::kRms) {
    long double sum = 0;
    for (long double d : deviations) sum += d * d;
    return std::sqrt(sum / static_cast<long double>(deviations.size() - 1));
  }
  std::vector<long double> sizes;
  for (long double d : deviations) {
    if (std::isnan(d)) return kNan;
    sizes.push_back(std::abs(d));
  }
  std::sort(sizes.begin(), sizes.end());
  const std::size_t n = sizes.size();
  return 1.4826L * (sizes[(n - 1) / 2] + sizes[n / 2]) / 2;
}

}  // namespace

template <typename T>
void check_group(const gapo::Rule& rule, const std::vector<T>& rewards, const std::vector<T>& advantage,
                 const T* stats) {
  const auto n = static_cast<int64_t>(rewards.size());
  check::current_case = describe(rule, n);
  const auto check_all = [&](double center, double scale, double low, double high, auto expected) {
    CHECK_EQ(stats[0], static_cast<T>(center));
    CHECK_EQ(stats[1], static_cast<T>(scale));
    CHECK_EQ(stats[2], static_cast<T>(low));
    CHECK_EQ(stats[3], static_cast<T>(high));
    for (int64_t i = 0; i < n; ++i) CHECK_EQ(advantage[i], static_cast<T>(expected(rewards[i])));
  };
  const Values values(rewards.begin(), rewards.end());
  if (std::any_of(values.begin(), values.end(), [](double x) { return std::isnan(x); })) {
    return check_all(kNan, kNan, kNan, kNan, [](double) { return kNan; });
  }
  if (n == 1) {
    const double divisor = rule.scale == Scale::kNone ? 1.0 : 1.0 + rule.eps;
    return check_all(0, 1, values[0], values[0], [&](double reward) { return reward * (1 / divisor); });
  }
  if (std::isfinite(values[0]) && std::all_of(values.begin(), values.end(), [&](double x) { return x == values[0]; })) {
    return check_all(values[0], rule.scale == Scale::kNone, values[0], values[0], [](double) { return 0; });
  }

  Values ascending = values;
  std::sort(ascending.begin(), ascending.end());
  const long double count = n;
  const auto k = std::clamp<int64_t>(static_cast<int64_t>(std::ceil((rule.tau - 1e-9) * n)), 1, n);
  const int64_t start = narrowest_window(ascending, k);
  CHECK_EQ(stats[2], static_cast<T>(start < 0 ? kNan : ascending[start]));
  CHECK_EQ(stats[3], static_cast<T>(start < 0 ? kNan : ascending[start + k - 1]));

  // An order statistic is exact; a mean may be off by the rounding of its sum, n float64 additions, and its own.
  constexpr long double float64_rounding = 0x1p-53L;
  constexpr long double rounding = std::numeric_limits<T>::epsilon() / 2;
  const bool summed =
      rule.center == Center::kHdiMean || rule.center == Center::kMean || rule.center == Center::kLooMean;
  const long double center = center_of(values, ascending, start, k, rule.center);
  double largest = 0;
  for (double value : values) largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
  const bool exact = !summed || !std::isfinite(center);
  const long double center_error = std::abs(center) * 2 * rounding + 2 * count * float64_rounding * largest;
  CHECK_NEAR(stats[0], static_cast<T>(center), exact ? 0 : center_error);

  // From here on with the centre that was computed: what its last bit does to the rest is no error.
  const long double factor = rule.center == Center::kLooMean ? count / (count - 1) : 1;
  std::vector<long double> deviations;
  for (double value : values) deviations.push_back(factor * (static_cast<long double>(value) - stats[0]));
  const long double scale = scale_of(deviations, rule.scale);
  const long double scale_error = (count + 4) * float64_rounding;
  constexpr long double least = std::numeric_limits<T>::denorm_min();
  CHECK_NEAR(stats[1], static_cast<T>(scale), scale * (scale_error + 2 * rounding) + least);
  for (int64_t i = 0; i < n; ++i) {
    const long double divisor = rule.scale == Scale::kNone ? 1 : scale + rule.eps;
    const long double expected = std::isinf(divisor) && std::isinf(deviations[i]) ? kNan : deviations[i] / divisor;
    const long double error = std::abs(expected) * (scale_error + 4 * float64_rounding + 2 * rounding) + least;
    CHECK_NEAR(advantage[i], static_cast<T>(expected), error);
  }
}

std::string describe(const gapo::Rule& rule, int64_t size) {
  return std::string(gapo::kCenters[static_cast<int>(rule.center)].name) + ", " +
         std::string(gapo::kScales[static_cast<int>(rule.scale)].name) + ", tau = " + std::to_string(rule.tau) +
         ", eps = " + std::to_string(rule.eps) + ", group of " + std::to_string(size);
}

std::vector<gapo::Rule> every_rule() {
  constexpr double taus[] = {0.5, 0.55, 0.25, 1.0, 0.02};
  std::vector<gapo::Rule> rules;
  for (const auto& center : gapo::kCenters) {
    for (const auto& scale : gapo::kScales) {
      const std::size_t turn = rules.size();
      rules.push_back({taus[turn % 5], center.value, scale.value, turn % 2 == 0 ? 1e-6 : 0.0, true});
      rules.push_back({taus[(turn + 2) % 5], center.value, scale.value, turn % 2 == 0 ? 0.0 : 1e-6, true});
    }
  }
  return rules;
}

template void check_group<float>(const gapo::Rule&, const std::vector<float>&, const std::vector<float>&, const float*);
template void check_group<double>(const gapo::Rule&, const std::vector<double>&, const std::vector<double>&,
                                  const double*);
