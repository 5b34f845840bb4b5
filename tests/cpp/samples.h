// Rewards of every shape that the algorithms tell apart, the same on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

// SplitMix64: the standard library's distributions differ between implementations.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits();
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  double normal();

 private:
  uint64_t state_;
};

enum class Shape {
  kNormal,
  kUniform,
  kCauchy,
  kBinary,
  kGrid,  // 0, 0.1 … 1: many ties
  kEven,  // evenly spaced and shuffled: many windows of one width, and no bin that can be ruled out
  kAllButOne,
  kOutliers,
  kFarFromZero,  // a large mean over a small spread
  kZeros,        // of both signs, among a few others
  kConstant,
};
inline constexpr int kShapes = static_cast<int>(Shape::kConstant) + 1;

std::string name_of(Shape shape);

template <typename T>
std::vector<T> sample(Shape shape, int64_t n, uint64_t seed);

template <typename T>
void shuffle(std::vector<T>& items, uint64_t seed) {
  Random random(seed);
  for (int64_t i = static_cast<int64_t>(items.size()) - 1; i > 0; --i) std::swap(items[i], items[random.below(i + 1)]);
}
