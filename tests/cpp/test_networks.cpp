// The 0-1 principle: a network that sorts every sequence of zeros and ones sorts every sequence.
#include <algorithm>
#include <vector>

#include "check.h"
#include "probe.h"
#include "tests.h"

namespace {

// Runs the network on the sequences, `lanes` at a time; bit i of a sequence is the value of row i.
template <typename T>
void check_sorts(void (*network)(T*), int rows, int lanes, const std::vector<uint32_t>& sequences) {
  std::vector<T> values(rows * lanes);
  for (std::size_t first = 0; first < sequences.size(); first += lanes) {
    const auto sequence = [&](int lane) { return sequences[std::min(first + lane, sequences.size() - 1)]; };
    for (int row = 0; row < rows; ++row) {
      for (int lane = 0; lane < lanes; ++lane) values[row * lanes + lane] = static_cast<T>(sequence(lane) >> row & 1);
    }
    network(values.data());
    for (int lane = 0; lane < lanes; ++lane) {
      const int ones = __builtin_popcount(sequence(lane));
      bool sorted = true;
      for (int row = 0; row < rows; ++row) sorted &= values[row * lanes + lane] == (row >= rows - ones ? 1 : 0);
      CHECK(sorted);
    }
  }
}

template <typename T>
void test_type() {
  const auto& typed = probe().of<T>();
  for (int n = 2; n <= probe().block; ++n) {
    check::current_case = "sort network of " + std::to_string(n);
    std::vector<uint32_t> sequences(std::size_t{1} << n);
    for (std::size_t i = 0; i < sequences.size(); ++i) sequences[i] = static_cast<uint32_t>(i);
    check_sorts(typed.sort_network[n], n, typed.lanes, sequences);
  }
  for (int n = 2; n <= probe().block; ++n) {
    if (typed.merge_network[n] == nullptr) continue;
    check::current_case = "merge network of " + std::to_string(n);
    std::vector<uint32_t> bitonic;  // every rotation of every run of ones
    for (int ones = 0; ones <= n; ++ones) {
      for (int shift = 0; shift < n; ++shift) {
        const uint32_t run = ((1u << ones) - 1) << shift;
        bitonic.push_back((run | run >> n) & ((1u << n) - 1));
      }
    }
    check_sorts(typed.merge_network[n], n, typed.lanes, bitonic);
  }
  for (int n = 2; n <= probe().block; n *= 2) {
    check::current_case = "merge of two runs, network of " + std::to_string(n);
    std::vector<uint32_t> runs;  // each of n / 2 values, the ones at its end
    for (int first = 0; first <= n / 2; ++first) {
      for (int second = 0; second <= n / 2; ++second) {
        runs.push_back(((1u << first) - 1) << (n / 2 - first) | ((1u << second) - 1) << (n - second));
      }
    }
    check_sorts(typed.run_merge_network[n], n, typed.lanes, runs);
  }
}

}  // namespace

void test_networks(Effort) {
  test_type<float>();
  test_type<double>();
}
