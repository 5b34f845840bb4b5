// Every shape of a team, compiled for the CPU: its sort lane by lane, and the whole op for a warp or block of groups.
#pragma once

#include <algorithm>
#include <vector>

#include "batch.h"
#include "check.h"
#include "cuda/group.h"
#include "fiber.h"
#include "reference.h"
#include "tests.h"

namespace gapo::cuda {

// The groups of one block in one shape of team; one call of run_block.
template <typename T, int kLanes, int kRewards>
struct Shape {
  static constexpr int kThreads = kLanes > kWarp ? kLanes : kWarp;
  static constexpr int kTeams = kThreads / kLanes;
  using Team = cuda::Team<T, Fiber, kLanes, kRewards, kThreads>;

  template <typename Body>
  static void run(Body body) {
    std::vector<T> memory(Team::kMemory);
    std::vector<double> scratch(Team::kScratch + 1);
    run_block(kThreads, [&] { body(Team(memory.data(), scratch.data()), Fiber::index() / kLanes); });
  }
};

// Runs of 0s and 1s in every proportion (a merge that is wrong anywhere is wrong for some of them), and ties.
template <typename T, int kLanes, int kRewards>
void test_sort(Effort effort) {
  using Run = Shape<T, kLanes, kRewards>;
  constexpr int n = Run::Team::kCapacity;
  Random random(n);
  check::current_case = "sort of " + std::to_string(kLanes) + " lanes x " + std::to_string(kRewards);
  const int rounds = kLanes > kWarp ? 3 : effort == Effort::kFull ? 40 : 10;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::vector<T>> given(Run::kTeams, std::vector<T>(n)), sorted = given, laid_out = given;
    for (auto& group : given) {
      const auto kinds = round % 2 == 0 ? int64_t{2} : random.below(n) + 3;
      const auto ones = random.below(n + 1);
      for (int i = 0; i < n; ++i) group[i] = static_cast<T>(kinds == 2 ? i < ones : random.below(kinds) - kinds / 2);
      shuffle(group, random.bits());
    }
    Run::run([&](const auto& team, int g) {
      Values<T, kRewards> values;
      values.count = n;
      for (int p = 0; p < kRewards; ++p) values.value[p] = given[g][place_of(team, p)];
      sort_values<false>(team, values);
      for (int p = 0; p < kRewards; ++p) sorted[g][team.lane * kRewards + p] = values.value[p];
      for (int p = 0; p < kRewards; ++p) laid_out[g][team.lane * kRewards + p] = team.at(team.lane * kRewards + p);
    });
    for (int g = 0; g < Run::kTeams; ++g) {
      std::sort(given[g].begin(), given[g].end());
      CHECK(sorted[g] == given[g]);
      CHECK(laid_out[g] == given[g]);
    }
  }
}

// A batch of groups of these sizes through one shape; every group on its own checked against the definition.
template <typename T, int kLanes, int kRewards>
void test_batch(const Rule& rule, const std::vector<int64_t>& sizes, uint64_t seed, bool with_mask) {
  using Run = Shape<T, kLanes, kRewards>;
  const Rewards<T> rewards = mixed_rewards<T>(sizes, seed);
  const auto total = static_cast<int64_t>(rewards.values.size());
  const auto valid = some_valid(total, seed);
  Result<T> result{std::vector<T>(total, static_cast<T>(kPoison)),
                   std::vector<T>(4 * rewards.count(), static_cast<T>(kPoison))};
  Call call;
  call.rule = rule;
  call.element = sizeof(T) == sizeof(double) ? Element::kFloat64 : Element::kFloat32;
  call.groups.rewards = rewards.values.data();
  call.groups.valid = with_mask ? valid.get() : nullptr;
  call.groups.offsets = rewards.offsets.data();
  call.groups.wide_offsets = true;
  call.groups.total = total;
  call.groups.count = rewards.count();
  call.out = {result.advantage.data(), result.stats.data(), false};
  const auto run_all = [&](auto plain) {
    for (int64_t first = 0; first < rewards.count(); first += Run::kTeams) {
      Run::run([&](const auto& team, int member) {
        const int64_t g = first + member;
        const Slice slice = g < rewards.count() ? slice_of(call, g) : kNoGroup;
        group_advantage<decltype(plain)::value, T>(team, call, g, slice);
      });
    }
  };
  run_all(std::false_type{});
  for (int64_t g = 0; g < rewards.count(); ++g) {
    std::vector<T> members, advantage;
    for (int64_t row = rewards.offsets[g]; row < rewards.offsets[g + 1]; ++row) {
      if (with_mask && !valid[row]) {
        CHECK_BITS(result.advantage[row], T{0});
        continue;
      }
      members.push_back(rewards.values[row]);
      advantage.push_back(result.advantage[row]);
    }
    if (!members.empty()) {
      check_group(rule, members, advantage, result.stats.data() + 4 * g);
    } else {
      for (int i = 0; i < 4; ++i) CHECK(std::isnan(result.stats[4 * g + i]));
    }
  }
  if constexpr (sizeof(T) == sizeof(float)) {  // the short form gives the same bits
    call.out.stats = nullptr;
    call.rule.report_window = false;
    if (!is_plain(call)) return;
    const std::vector<T> expected = result.advantage;
    std::fill(result.advantage.begin(), result.advantage.end(), static_cast<T>(kPoison));
    run_all(std::true_type{});
    check::current_case = "plain " + check::current_case;
    for (int64_t i = 0; i < total; ++i) CHECK_BITS(result.advantage[i], expected[i]);
  }
}

// Full groups, one less, the smallest that no lesser shape takes, tiny and empty ones.
template <typename T, int kLanes, int kRewards>
void test_shape(Effort effort) {
  test_sort<T, kLanes, kRewards>(effort);
  constexpr int64_t n = int64_t{kLanes} * kRewards;
  const std::vector<Rule> rules = every_rule();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (n > 512 && i % (n > 1024 ? 6 : 2) != static_cast<std::size_t>(n) / 2048 % 2)
      continue;  // a fiber's step is slow
    std::vector<int64_t> sizes{n, n - 1, n / 2 + 1, n, n, 1, 0, 2, n / 2, 3, n, n, n, n, 7 % (n + 1), n};
    if (n > 1024) sizes = {n, i % 4 == 0 ? n - 1 : n / 2 + 1};
    test_batch<T, kLanes, kRewards>(rules[i], sizes, i, false);
    sizes.resize(std::min<std::size_t>(sizes.size(), 8));
    if (n <= 1024 || i % 4 == 0) test_batch<T, kLanes, kRewards>(rules[i], sizes, i + 3, true);
  }
}

// All shapes of the table of size classes, and those of the ragged launch.
template <typename T>
void test_shapes(Effort effort);

}  // namespace gapo::cuda
