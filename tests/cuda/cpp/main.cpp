// The logic of the CUDA kernels on the CPU: the same templates, with fibers for threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <vector>

#include "check.h"
#include "cuda/sort.h"
#include "cuda/statistics.h"
#include "cuda/tiers.h"
#include "large_tests.h"

namespace gapo::cuda {

template <typename T>
void test_shapes(Effort effort);
extern template void test_shapes<float>(Effort);
extern template void test_shapes<double>(Effort);

namespace {

// A word of the 0-1 principle: a bit for each of many inputs at once. The smaller of two bits is their and.
typedef uint64_t Inputs __attribute__((vector_size(32)));

// A network that sorts every input of zeros and ones sorts everything.
template <int N>
void test_network(Effort effort) {
  constexpr int lane_bits = 8;  // of the 256 inputs in a word
  Inputs low[lane_bits];        // bit b of the input's number
  for (int b = 0; b < lane_bits; ++b) {
    for (int word = 0; word < 4; ++word) {
      low[b][word] = 0;
      for (int bit = 0; bit < 64; ++bit) low[b][word] |= static_cast<uint64_t>((word * 64 + bit) >> b & 1) << bit;
    }
  }
  const uint64_t rounds = N <= lane_bits ? 1 : uint64_t{1} << (N - lane_bits);
  const uint64_t step = N > 24 && effort == Effort::kSmall ? 4099 : 1;
  Inputs wrong{};
  for (uint64_t high = 0; high < rounds; high += step) {
    Inputs value[N];
    for (int i = 0; i < N; ++i) {
      value[i] = i < lane_bits ? low[i] : Inputs{} - (high >> (i - lane_bits) & 1);
    }
#pragma GCC unroll 256
    for (int c = 0; c < kSortNetwork<N>.size; ++c) {
      const Comparator comparator = kSortNetwork<N>.comparators[c];
      const Inputs a = value[comparator.low], b = value[comparator.high];
      value[comparator.low] = a & b;
      value[comparator.high] = a | b;
    }
    for (int i = 0; i + 1 < N; ++i) wrong |= value[i] & ~value[i + 1];
  }
  check::current_case = "network of " + std::to_string(N);
  CHECK((wrong[0] | wrong[1] | wrong[2] | wrong[3]) == 0);
}

void test_networks(Effort effort) {
  test_network<4>(effort);
  test_network<8>(effort);
  test_network<16>(effort);
  test_network<32>(effort);
}

// Every size has the first class that takes it, and there is none above the largest.
void test_size_classes(Effort) {
  for (int64_t n = 0; n <= kLargestSorted; ++n) {
    check::current_case = "size " + std::to_string(n);
    const int chosen = size_class(n);
    CHECK(chosen >= 0);
    CHECK(n <= kSizeClasses[chosen].capacity());
    CHECK(chosen == 0 || kSizeClasses[chosen - 1].capacity() < n);
  }
  for (int64_t n : {kLargestSorted + 1, int64_t{1} << 20, int64_t{1} << 40}) CHECK_EQ(size_class(n), -1);
  for (const SizeClass& shape : kSizeClasses) {
    check::current_case = "class of " + std::to_string(shape.capacity());
    CHECK(shape.threads % 32 == 0 && shape.threads % shape.lanes == 0);
    CHECK(shared_values(shape, 8) * 8 + scratch_bytes(shape) <= 48 << 10);  // of a block that asks for no more
    CHECK(shape.blocks_per_processor(false) >= 1 && shape.blocks_per_processor(true) >= 1);
  }
}

// Ranks that there are, and no others.
struct Ascending {
  std::vector<double> values;

  double at(int rank) const {
    const bool there = rank >= 0 && rank < static_cast<int>(values.size());
    CHECK(there);
    return there ? values[rank] : kNan;
  }
};

// Of groups of every small size, with ties, about centres that are and are not members; of nothing it is NaN.
void test_median_deviation(Effort) {
  for (int n = 0; n < 12; ++n) {
    for (double center : {-1.0, 0.0, 1.0, 1.5, 2.0, 9.0}) {
      check::current_case = "deviation of " + std::to_string(n) + " about " + std::to_string(center);
      Ascending rewards;
      std::vector<double> deviations;
      for (int i = 0; i < n; ++i) rewards.values.push_back(i / 2);
      for (double reward : rewards.values) deviations.push_back(std::abs(reward - center));
      std::sort(deviations.begin(), deviations.end());
      const double found = median_deviation(rewards, n, center);
      if (n == 0) {
        CHECK(std::isnan(found));
      } else {
        CHECK_EQ(found, (deviations[(n - 1) / 2] + deviations[n / 2]) / 2);
      }
    }
  }
}

}  // namespace
}  // namespace gapo::cuda

int main(int argc, char** argv) {
  const Effort effort = argc > 1 && std::strcmp(argv[1], "--small") == 0 ? Effort::kSmall : Effort::kFull;
  constexpr struct {
    const char* name;
    void (*run)(Effort);
  } tests[] = {
      {"networks", gapo::cuda::test_networks},
      {"size_classes", gapo::cuda::test_size_classes},
      {"median_deviation", gapo::cuda::test_median_deviation},
      {"float", gapo::cuda::test_shapes<float>},
      {"double", gapo::cuda::test_shapes<double>},
      {"ids", test_ids},
      {"pruning", test_pruning},
      {"large_groups", test_large_groups},
      {"token_rows", test_token_rows},
  };
  for (const auto& test : tests) {
    const int64_t count = check::count, failures = check::failures;
    test.run(effort);
    check::current_case = test.name;
    CHECK(check::count > count);  // a test of nothing
    std::cout << test.name << ": " << check::count - count << " checks, " << check::failures - failures << " failed\n";
  }
  return check::failures == 0 ? 0 : 1;
}
