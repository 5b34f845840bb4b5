// A batch of groups that lie one after the other, and what the op returns for it.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "cpu/op.h"
#include "samples.h"

template <typename T>
struct Result {
  std::vector<T> advantage, stats;
};

inline constexpr double kPoison = 12345.0;  // what memory holds that nobody wrote

template <typename T>
struct Rewards {
  std::vector<T> values;
  std::vector<int64_t> offsets{0};

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t size(int64_t g) const { return offsets[g + 1] - offsets[g]; }
  std::vector<T> group(int64_t g) const { return {values.begin() + offsets[g], values.begin() + offsets[g + 1]}; }
  void add(const std::vector<T>& group) {
    values.insert(values.end(), group.begin(), group.end());
    offsets.push_back(static_cast<int64_t>(values.size()));
  }
};

// One group of each shape in turn; every fifth one holds a NaN or infinities.
template <typename T>
Rewards<T> mixed_rewards(const std::vector<int64_t>& sizes, uint64_t seed) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  Rewards<T> rewards;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::vector<T> group = sample<T>(static_cast<Shape>((i + seed) % kShapes), sizes[i], seed + i);
    const int64_t n = sizes[i];
    if (n > 0 && i % 5 == 4) {
      const int64_t kind = static_cast<int64_t>(i / 5 + seed) % 4;
      group[n / 2] = kind == 0 ? std::numeric_limits<T>::quiet_NaN() : inf;
      if (kind == 2) group[0] = -inf;
      if (kind == 3) std::fill(group.begin() + n / 3, group.end(), -inf);
    }
    rewards.add(group);
  }
  return rewards;
}

enum class Form { kEqual, kOffsets };

template <typename T>
Result<T> run(const gapo::Rule& rule, const Rewards<T>& rewards, Form form, const gapo::Threads& threads = {},
              const bool* valid = nullptr) {
  Result<T> result{std::vector<T>(rewards.values.size(), static_cast<T>(kPoison)),
                   std::vector<T>(4 * rewards.count(), static_cast<T>(kPoison))};
  const int64_t* offsets = form == Form::kOffsets ? rewards.offsets.data() : nullptr;
  const gapo::Groups<T> groups{rewards.values.data(), offsets, rewards.count() > 0 ? rewards.size(0) : 0,
                               rewards.count()};
  gapo::contiguous_advantage<T>(rule, groups, valid, {result.advantage.data(), result.stats.data()}, threads);
  return result;
}

// Which rows count: about three of four.
inline std::unique_ptr<bool[]> some_valid(int64_t n, uint64_t seed) {
  Random random(seed);
  auto valid = std::make_unique<bool[]>(n);
  for (int64_t i = 0; i < n; ++i) valid[i] = random.below(4) != 0;
  return valid;
}
