// The parts that large groups are served by: the bins' map and bounds, how much they leave to be sorted, how blocks are
// shared out.
#include <algorithm>
#include <bit>
#include <cmath>

#include "host_launch.h"
// after the block's CPU form
#include "large_tests.h"
#include "samples.h"

namespace {

using namespace gapo::cuda;
using gapo::Rule;

// Monotone over all values that are not NaN, and within the bins, whatever the range.
template <typename T>
void test_map() {
  using Limits = std::numeric_limits<T>;
  constexpr T inf = Limits::infinity();
  std::vector<T> values{-inf,
                        Limits::lowest(),
                        -1,
                        -Limits::min(),
                        -Limits::denorm_min(),
                        0,
                        Limits::denorm_min(),
                        Limits::min(),
                        T(1e-3),
                        1,
                        2,
                        T(1e30),
                        Limits::max(),
                        inf};
  for (T low : values) {
    for (T high : values) {
      if (!(low < high)) continue;
      for (T inner_low : values) {
        for (T inner_high : values) {
          if (inner_low < low || inner_high > high || inner_low > inner_high) continue;
          const BinMap<T> map = make_map(low, high, inner_low, inner_high, 1000u);
          uint32_t last = 0;
          for (T value : values) {
            const uint32_t bin = map(value);
            CHECK(bin >= last && bin < 1000);
            last = bin;
          }
        }
      }
    }
  }
}

// Keys order as values do, and come back.
template <typename T>
void test_keys() {
  Random random(3);
  std::vector<T> values{0, -std::numeric_limits<T>::infinity(), std::numeric_limits<T>::infinity()};
  for (int i = 0; i < 1000; ++i)
    values.push_back(static_cast<T>(std::exp(30 * random.normal()) * (random.below(2) - 0.5)));
  for (T a : values) {
    CHECK_EQ(from_key<T>(to_key(a)), a);
    CHECK(to_key(a) < kLargestKey<KeyOf<T>>);
    for (T b : values) CHECK_EQ(a < b, to_key(a) < to_key(b));
  }
  CHECK_EQ(to_key(T{0}), to_key(-T{0}));
}

// How many rewards of a group are looked at one by one to find its narrowest window and that window's median.
template <typename T>
uint32_t placed_count(const std::vector<T>& rewards, double tau, uint32_t bins) {
  using Block = HostBlock<64>;
  const auto n = static_cast<uint32_t>(rewards.size());
  Call call;
  call.element = sizeof(T) == 4 ? Element::kFloat32 : Element::kFloat64;
  call.groups.rewards = rewards.data();
  call.groups.total = call.groups.max_group_size = call.groups.group_size = n;
  call.groups.count = 1;
  const LargePlan plan = plan_large(call, false, 1, bins, 0, Block::kTile);
  std::vector<uint64_t> workspace(plan.workspace.bytes / 8), memory(RankedGroup<T, Block>::shared_bytes(bins) / 8 + 1);
  const auto exchange = exchange_at<T>(plan, reinterpret_cast<unsigned char*>(workspace.data()), 0, {0, n});
  const Place place{0, 0, n};
  const LargeGroup<T> group{call, place, nullptr, 0};
  Block block(ThreadOrder::kForward, 0);
  const uint32_t k = static_cast<uint32_t>(gapo::window_size(n, tau));
  const Wanted wanted{n, k, true, true, {kNoRank, kNoRank}};
  auto* const bytes = reinterpret_cast<unsigned char*>(memory.data());
  BinTable<T> table(bytes, bins);
  choose_map(block, group, exchange, table);
  fill_bins(block, group, table, exchange);
  return RankedGroup<T, Block>(block, group, table, wanted, bytes, exchange).placed_count();
}

template <typename T>
void test_survivors() {
  constexpr int64_t n = 1 << 16;
  const auto share = [&](const std::vector<T>& rewards) {
    return static_cast<double>(placed_count(rewards, 0.5, 4096)) / static_cast<double>(rewards.size());
  };
  const auto share_of = [&](Shape shape) {
    check::current_case = name_of(shape);
    return share(sample<T>(shape, n, 1));
  };
  CHECK(share_of(Shape::kNormal) < 0.25);
  CHECK(share_of(Shape::kUniform) < 0.15);
  CHECK(share_of(Shape::kCauchy) < 0.25);
  CHECK(share_of(Shape::kOutliers) < 0.25);
  CHECK_EQ(share_of(Shape::kBinary), 0.0);
  CHECK_EQ(share_of(Shape::kGrid), 0.0);
  CHECK_EQ(share_of(Shape::kAllButOne), 0.0);
  // nothing can be ruled out, and the bins are small enough to be sorted one by one
  CHECK(share_of(Shape::kEven) > 0.9);
  // two clusters, each in a bin: the full sort
  Random random(5);
  std::vector<T> clusters(n);
  for (T& reward : clusters) reward = static_cast<T>(random.below(2) + 1e-6 * random.uniform());
  check::current_case = "clusters";
  CHECK_EQ(share(clusters), 1.0);
}

// A key of every rank, and the next one, among few keys and many, alike in many digits or in few, with ties.
template <typename T>
void test_select() {
  using Key = KeyOf<T>;
  HostBlock<64> block(ThreadOrder::kShuffled, 1);
  std::vector<uint32_t> counts(kSelectBytes / sizeof(uint32_t));
  Random random(11);
  for (uint32_t size : {2u, 64u, kMostCompared, kMostCompared + 1, 5000u}) {
    for (double spread : {1e-6, 1e-3, 1.0, 1e20}) {
      for (int levels : {2, 50, 1 << 20}) {
        std::vector<Key> keys(size);
        for (Key& key : keys) key = to_key(static_cast<T>(1 + spread * static_cast<double>(random.below(levels))));
        keys[0] = to_key(T{-1});
        keys[1] = to_key(T{2});
        shuffle(keys, size);
        std::vector<Key> sorted = keys;
        std::sort(sorted.begin(), sorted.end());
        sorted.push_back(kLargestKey<Key>);
        for (uint32_t rank : {0u, 1u, size / 3, size / 2, size - 2, size - 1}) {
          const auto found = select_keys(block, keys.data(), size, rank, sorted[0], sorted[size - 1], counts.data());
          CHECK_EQ(found.key, sorted[rank]);
          CHECK_EQ(found.next, sorted[rank + 1]);
        }
      }
    }
  }
}

// Blocks are shared out without remainder, and none idles where it could help.
void test_shares() {
  for (uint32_t blocks : {1u, 2u, 7u, 132u, 264u}) {
    for (uint32_t groups : {1u, 2u, 3u, 100u, 1000u}) {
      for (int64_t longest : {int64_t{16385}, int64_t{1} << 17, int64_t{1} << 20, int64_t{1} << 28}) {
        const uint32_t share = blocks_per_group(blocks, groups, longest, 8192);
        CHECK(share >= 1);
        CHECK(share == 1 || share * groups <= blocks);
        CHECK(share <= gapo::divide_up(longest, 8192));
        CHECK(share == gapo::divide_up(longest, 8192) || int64_t{share + 1} * groups > blocks);
        const uint32_t cluster = cluster_for(blocks, groups, longest, 8192);
        CHECK(std::has_single_bit(cluster) && cluster <= kLargestCluster);
        CHECK(cluster == 1 || (cluster <= share && share < 2 * kLargestCluster && 4 * cluster > share));
      }
    }
  }
}

}  // namespace

void test_pruning(Effort) {
  test_map<float>();
  test_map<double>();
  test_keys<float>();
  test_keys<double>();
  test_survivors<float>();
  test_survivors<double>();
  test_select<float>();
  test_select<double>();
  test_shares();
}
