#include "samples.h"

#include <cmath>
#include <numbers>

uint64_t Random::bits() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double Random::normal() {
  double sum = -6.0;
  for (int i = 0; i < 12; ++i) sum += uniform();
  return sum;
}

std::string name_of(Shape shape) {
  constexpr std::array<const char*, kShapes> names{"normal",        "uniform", "cauchy",      "binary",
                                                   "grid",          "even",    "all but one", "outliers",
                                                   "far from zero", "zeros",   "constant"};
  return names[static_cast<int>(shape)];
}

template <typename T>
std::vector<T> sample(Shape shape, int64_t n, uint64_t seed) {
  Random random(seed * kShapes + static_cast<uint64_t>(shape));
  const auto value = [&](int64_t i) -> double {
    switch (shape) {
      case Shape::kNormal:
        return random.normal();
      case Shape::kUniform:
        return random.uniform();
      case Shape::kCauchy:
        return std::tan(std::numbers::pi * (random.uniform() - 0.5));
      case Shape::kBinary:
        return static_cast<double>(random.below(2));
      case Shape::kGrid:
        return static_cast<double>(random.below(11)) / 10.0;
      case Shape::kEven:
        return 0.25 * static_cast<double>(i);
      case Shape::kAllButOne:
        return i == n / 3 ? 0.7 : 0.1;
      case Shape::kOutliers:
        return random.below(50) == 0 ? 1e6 * random.normal() : random.normal();
      case Shape::kFarFromZero:
        return 1e4 + 1e-2 * random.normal();
      case Shape::kZeros:
        return random.below(8) == 0 ? random.normal() : std::copysign(0.0, random.uniform() - 0.5);
      case Shape::kConstant:
        return 0.1;
    }
    return 0.0;
  };
  std::vector<T> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<T>(value(i));
  if (shape == Shape::kEven) shuffle(values, seed);
  return values;
}

template std::vector<float> sample<float>(Shape, int64_t, uint64_t);
template std::vector<double> sample<double>(Shape, int64_t, uint64_t);
