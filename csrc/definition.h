// The op's vocabulary: centres, scales, the window's size. Torch-free; gapo_kernels/reference.py says what they mean.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "host_device.h"

namespace gapo {

inline constexpr int64_t kMostInGroup = INT32_MAX;  // rewards: ranks and positions are counted in 32 bits

enum class Center { kHdiMedian, kHdiMean, kQuantile, kMedian, kMean, kLooMean, kNone };
enum class Scale { kRms, kMad, kNone };

template <typename Enum>
struct Named {
  std::string_view name;
  Enum value;
};

GAPO_HD constexpr bool takes_mean(Center center) { return center == Center::kMean || center == Center::kLooMean; }

// The centre is that of the narrowest window.
GAPO_HD constexpr bool takes_window(Center center) {
  return center == Center::kHdiMedian || center == Center::kHdiMean;
}
// It is read off the ascending rewards.
GAPO_HD constexpr bool takes_order(Center center) { return !takes_mean(center) && center != Center::kNone; }

inline constexpr std::array<Named<Center>, 7> kCenters{{{"hdi_median", Center::kHdiMedian},
                                                        {"hdi_mean", Center::kHdiMean},
                                                        {"quantile", Center::kQuantile},
                                                        {"median", Center::kMedian},
                                                        {"mean", Center::kMean},
                                                        {"loo_mean", Center::kLooMean},
                                                        {"none", Center::kNone}}};
inline constexpr std::array<Named<Scale>, 3> kScales{
    {{"rms", Scale::kRms}, {"mad", Scale::kMad}, {"none", Scale::kNone}}};

template <typename Enum, std::size_t N>
constexpr std::optional<Enum> find_name(const std::array<Named<Enum>, N>& table, std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

inline constexpr double kMadToSigma = 1.4826;  // a normal distribution's standard deviation over its MAD

// What to compute for each group.
struct Rule {
  double tau = 0.5;
  Center center = Center::kHdiMedian;
  Scale scale = Scale::kRms;
  double eps = 1e-6;
  bool report_window = false;  // the window's ends are wanted even where the centre does not need them

  GAPO_HD bool needs_window() const { return report_window || takes_window(center); }
  GAPO_HD bool needs_order() const { return report_window || takes_order(center) || scale == Scale::kMad; }
};

// The smallest integer >= tau * size, at least 1; a product within 1e-9 * size of an integer counts as that integer.
GAPO_HD inline int64_t window_size(int64_t size, double tau) {
  const double product = tau * static_cast<double>(size);
  const double nearest = nearbyint(product);
  const double k = fabs(product - nearest) <= 1e-9 * static_cast<double>(size) ? nearest : ceil(product);
  return k < 1.0 ? 1 : k > static_cast<double>(size) ? size : static_cast<int64_t>(k);
}

// The statistics of one group. The advantage of a reward r is (r - center) * inverse, in float64, rounded once.
struct GroupStats {
  double center;  // rounded to the precision of the rewards
  double scale;   // S
  double lower;   // the ends of the narrowest window; NaN where no window has a width
  double upper;
  double inverse;  // 1 / (S + eps), or what stands in its place
};

inline constexpr int kStatistics = 4;  // that a user sees of a group: center, scale, lower, upper

}  // namespace gapo
