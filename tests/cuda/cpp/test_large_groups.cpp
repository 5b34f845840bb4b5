// The kernel for large groups, run on the CPU, against the definition.
#include <cmath>
#include <memory>

#include "host_launch.h"
// after the block's CPU form
#include "large_tests.h"
#include "reference.h"
#include "samples.h"

namespace {

using namespace gapo::cuda;
using gapo::Rule;

template <typename T>
void check_case(const Case<T>& input, const Result<T>& result) {
  std::vector<T> rewards, advantage;
  for (std::size_t row = 0; row < input.rewards.size(); ++row) {
    if (input.valid != nullptr && !input.valid[row]) {
      CHECK_BITS(result.advantage[row], T{0});
      continue;
    }
    rewards.push_back(input.rewards[row]);
    advantage.push_back(result.advantage[row]);
  }
  check_group(input.rule, rewards, advantage, result.stats.data());
}

template <typename T>
std::vector<std::vector<T>> hard_rewards(int64_t n) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  std::vector<std::vector<T>> all;
  for (int shape = 0; shape < kShapes; ++shape) all.push_back(sample<T>(static_cast<Shape>(shape), n, n));
  const auto add = [&](auto value) {
    Random random(all.size());
    std::vector<T> rewards(n);
    for (int64_t i = 0; i < n; ++i) rewards[i] = value(i, random);
    all.push_back(rewards);
  };
  add([&](int64_t, Random& random) { return random.below(40) == 0 ? inf : static_cast<T>(random.normal()); });
  add([&](int64_t, Random& random) { return random.below(3) == 0 ? -inf : static_cast<T>(random.normal()); });
  add([&](int64_t, Random& random) { return random.below(2) == 0 ? inf : -inf; });
  add([&](int64_t i, Random& random) { return i % 7 == 0 ? (random.below(2) == 0 ? inf : -inf) : T(0.5); });
  add([&](int64_t, Random&) { return inf; });
  add([&](int64_t, Random& random) {
    return static_cast<T>(1 + 1e-6 * random.normal() + random.below(2));
  });  // in few bins
  add([&](int64_t, Random& random) {
    return static_cast<T>(random.below(10) == 0 ? 0.5 + 1e-4 * random.normal() : random.uniform());
  });  // a long bin in the middle of the window: its median is searched digit by digit
  add([&](int64_t, Random& random) { return static_cast<T>(std::exp(20 * random.normal())); });
  add([&](int64_t i, Random&) { return static_cast<T>(i); });  // ascending: warps in one bin
  add([&](int64_t i, Random& random) {
    return i == n / 2 ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(random.normal());
  });
  return all;
}

// Ranges that overflow or are too small to be cut. The definition's squares do neither, so that only what is read off
// the order is compared.
template <typename T>
void test_ranges() {
  constexpr T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::denorm_min();
  for (int64_t n : {2, 700, 3000}) {
    Random random(n);
    std::vector<T> wide(n), narrow(n);
    for (int64_t i = 0; i < n; ++i) {
      wide[i] = most * static_cast<T>(random.below(9) - 4) / 4;
      narrow[i] = least * static_cast<T>(random.below(5));
    }
    for (Rule rule : every_rule()) {
      if (rule.center == gapo::Center::kHdiMean || gapo::takes_mean(rule.center)) continue;
      rule.scale = gapo::Scale::kNone;
      for (const auto& rewards : {wide, narrow}) {
        const Case<T> input{.rule = rule, .rewards = rewards};
        check_case(input, run<T, 32>(input, {n}, {2, kBins, ThreadOrder::kShuffled}));
      }
    }
  }
}

// Every kind of rewards under every rule, by few threads, so that a group has many tiles.
template <typename T>
void test_rules(Effort effort) {
  constexpr int threads = 32;
  int turn = 0;
  for (int64_t n : {int64_t{1}, int64_t{2}, int64_t{511}, int64_t{512}, int64_t{513}, int64_t{3000}}) {
    const auto rewards = hard_rewards<T>(n);
    for (const Rule& rule : every_rule()) {
      for (const auto& group : rewards) {
        ++turn;
        if (effort == Effort::kSmall && turn % 5 != 0) continue;
        const Case<T> input{.rule = rule, .rewards = group};
        check_case(input, run<T, threads>(input, {n},
                                          {turn % 3 + 1, kBins, static_cast<ThreadOrder>(turn % 3), 0, turn % 4u}));
      }
    }
  }
}

// As many threads as the kernel has, the sizes at its boundaries, and results that do not depend on who computes them.
template <typename T>
void test_sizes(Effort) {
  int turn = 0;
  constexpr int64_t tile = kLargeTile;
  for (int64_t n : {int64_t{4097}, tile - 1, tile, tile + 1, int64_t{40000}}) {
    for (const auto& group : hard_rewards<T>(n)) {
      const Rule rule = every_rule()[++turn * 5 % every_rule().size()];
      const Case<T> input{.rule = turn % 3 == 0 ? rule : Rule{}, .rewards = group};
      const Result<T> result = run<T, kLargeThreads, kLargeTile>(input, {n}, {1, kBins, ThreadOrder::kForward});
      check_case(input, result);
      CHECK(result == (run<T, kLargeThreads, kLargeTile>(input, {n}, {3, 2 * kBins, ThreadOrder::kShuffled, 0, 0})));
    }
  }
}

// Rows of one group: checked if it is served, poison if its size leaves it to other kernels.
template <typename T>
void check_rows(const Case<T>& input, const Result<T>& result, const std::vector<int64_t>& rows, bool served,
                bool refused) {
  std::vector<T> rewards, advantage;
  const T* stats = result.stats.data() + 4 * rows.front();
  for (int64_t row : rows) {
    for (int c = 0; c < 4; ++c) CHECK_BITS(result.stats[4 * row + c], stats[c]);
    if (!served) {
      CHECK_EQ(result.advantage[row], static_cast<T>(kUntouched));
    } else if (input.valid != nullptr && !input.valid[row]) {
      CHECK_BITS(result.advantage[row], T{0});
    } else if (refused) {
      CHECK(std::isnan(result.advantage[row]));
    } else {
      rewards.push_back(input.rewards[row]);
      advantage.push_back(result.advantage[row]);
    }
  }
  if (!served) return CHECK_EQ(stats[0], static_cast<T>(kUntouched));
  if (rewards.empty()) return CHECK(std::isnan(stats[0]) && std::isnan(stats[3]));
  check_group(input.rule, rewards, advantage, stats);
}

// Groups long and short, some of them shared by blocks, through a permutation of rows, with rows left out. The results
// do not depend on the number of blocks, nor on the order of their threads.
template <typename T>
void test_lists() {
  constexpr int threads = 32;
  constexpr int64_t tile = HostBlock<threads>::kTile;
  const std::vector<int64_t> ragged{5000, tile / 2, 700, 300, 0, 1500, 100, tile / 2 + 1, 2 * tile, 2 * tile + 1, 2048};
  const std::vector<int64_t> shared(5, 1500), alone(7, 900);
  int turn = 0;
  for (const Rule& rule : every_rule()) {
    const std::vector<int64_t>& sizes = turn % 3 == 0 ? ragged : turn % 3 == 1 ? shared : alone;
    ++turn;
    Case<T> input;
    input.rule = rule;
    std::vector<T> in_order;
    for (std::size_t g = 0; g < sizes.size(); ++g) {
      const auto group = sample<T>(static_cast<Shape>(g % kShapes), sizes[g], g);
      in_order.insert(in_order.end(), group.begin(), group.end());
    }
    const auto n = static_cast<int64_t>(in_order.size());
    input.rewards.resize(n);
    for (int64_t i = 0; i < n; ++i) input.rows.push_back(static_cast<int32_t>(i));
    shuffle(input.rows, 7);
    const auto valid = std::make_unique<bool[]>(n);
    for (int64_t i = 0; i < n; ++i) {
      const bool empty = i >= 5000 + tile / 2 + 700 && i < 5000 + tile / 2 + 1000;  // one group has no valid row
      input.rewards[input.rows[i]] = in_order[i];
      valid[input.rows[i]] = (i % 5 != 0 || i < 5000) && !empty;
    }
    if (turn % 2 == 0) input.valid = valid.get();
    input.stats_by_row = true;
    const int64_t promised = turn % 5 == 0 ? 1400 : 0;  // less than the longest
    const Result<T> result = run<T, threads>(input, sizes, {1, kBins, ThreadOrder::kForward, promised});
    CHECK(result == (run<T, threads>(input, sizes, {3, kBins, ThreadOrder::kBackward, promised})));
    CHECK(result == (run<T, threads>(input, sizes, {7, 2 * kBins, ThreadOrder::kShuffled, promised, 1})));
    int64_t begin = 0;
    for (int64_t size : sizes) {
      const std::vector<int64_t> rows(input.rows.begin() + begin, input.rows.begin() + begin + size);
      const bool served = &sizes != &ragged || size > tile / 2;
      if (size > 0) check_rows(input, result, rows, served, &sizes == &ragged && promised > 0 && size > promised);
      begin += size;
    }
  }
}

// Every group has places of its own in the workspace, whatever the sizes.
void test_places(Effort) {
  Random random(1);
  for (int turn = 0; turn < 200; ++turn) {
    constexpr int64_t tile = 512;
    std::vector<Slice> slices;
    int64_t total = 0, longest = 0;
    while (slices.size() < 20) {
      const int64_t size = random.below(turn % 2 == 0 ? 600 : 6000);
      slices.push_back({total, size});
      total += size;
      longest = std::max(longest, size);
    }
    Call call;
    call.element = Element::kFloat32;
    call.groups.total = total;
    call.groups.count = 20;
    call.groups.max_group_size = longest;
    const LargePlan plan = plan_large(call, true, static_cast<uint32_t>(random.below(30) + 1), kBins, 0, tile);
    unsigned char* const memory = nullptr;
    const auto place = [&](const void* pointer) { return static_cast<const unsigned char*>(pointer) - memory; };
    std::ptrdiff_t keys_end = 0, sums_end = 0, digits_end = 0;
    const auto count = plan.place_by_block ? int64_t{plan.blocks} : 20;
    int64_t listed = 0;
    for (int64_t i = 0; i < count; ++i) {
      const Slice slice = plan.place_by_block ? Slice{0, longest} : slices[i];
      if (!plan.place_by_block && slice.size <= tile / 2) continue;
      listed += !plan.place_by_block;
      const auto exchange = exchange_at<float>(plan, memory, plan.place_by_block ? static_cast<uint32_t>(i) : 0, slice);
      const int64_t tiles = gapo::divide_up(slice.size, tile);
      CHECK(place(exchange.keys) >= keys_end);
      CHECK(place(exchange.sums) >= sums_end);
      CHECK(place(exchange.tile_digits) >= digits_end);
      keys_end = place(exchange.keys + slice.size);
      sums_end = place(exchange.sums + kSumKinds * tiles);
      digits_end = place(exchange.tile_digits + kDigits * tiles);
    }
    CHECK(listed <= plan.list_capacity || plan.place_by_block);
    CHECK(sums_end <= static_cast<std::ptrdiff_t>(plan.tile_digits));
    CHECK(digits_end <= static_cast<std::ptrdiff_t>(plan.keys));
    CHECK(keys_end <= static_cast<std::ptrdiff_t>(plan.sorted));
  }
}

}  // namespace

void test_large_groups(Effort effort) {
  test_rules<float>(effort);
  test_rules<double>(effort);
  test_ranges<float>();
  test_ranges<double>();
  test_sizes<float>(effort);
  test_sizes<double>(effort);
  test_lists<float>();
  test_lists<double>();
  test_places(effort);
}
