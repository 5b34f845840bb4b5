// What brings equal ids together: their numbers, whoever comes first, and where runs of numbers begin.
#include <limits>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "host_block.h"
#include "large_tests.h"
#include "samples.h"
// after the block's CPU form
#include "cuda/id_table.h"
#include "cuda/segments.h"

namespace {

using namespace gapo::cuda;

// Several threads number the rows at once: one number an id, another for every other.
template <typename Id>
void test_numbers(const char* what, const std::vector<Id>& ids) {
  const auto n = static_cast<int64_t>(ids.size());
  check::current_case = std::string(what) + " ids, " + std::to_string(n);
  std::vector<int32_t> rows(std::size_t{1} << id_bits(n), kUnclaimed);
  std::vector<uint32_t> numbers(n);
  const IdTable table{{ids.data(), sizeof(Id) == 8}, rows.data(), id_bits(n)};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t row = t; row < n; row += 4) numbers[row] = table.number_of(static_cast<int32_t>(row));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<Id, std::set<uint32_t>> of_id;
  std::set<uint32_t> all;
  for (int64_t row = 0; row < n; ++row) {
    CHECK(numbers[row] < rows.size());
    of_id[ids[row]].insert(numbers[row]);
    all.insert(numbers[row]);
  }
  for (const auto& [id, found] : of_id) CHECK_EQ(found.size(), std::size_t{1});
  CHECK_EQ(all.size(), of_id.size());
}

template <typename Id>
void test_table() {
  using Limits = std::numeric_limits<Id>;
  Random random(3);
  for (int64_t n : {1, 2, 3, 4, 5, 6, 43, 1000, 5461, 5462}) {
    CHECK((int64_t{1} << id_bits(n)) > n);  // a place stays free, so that a search ends
    std::vector<Id> equal(n, Limits::min()), counted(n), spread(n), few(n);
    for (int64_t i = 0; i < n; ++i) {
      counted[i] = static_cast<Id>(i - n / 2);
      spread[i] = static_cast<Id>(Limits::max() - i * (Limits::max() / n));
      few[i] = static_cast<Id>(random.below(n / 7 + 1)) << (sizeof(Id) * 4);
    }
    test_numbers("equal", equal);
    test_numbers("consecutive", counted);
    test_numbers("spread", spread);
    test_numbers("few", few);
  }
}

// Heads of ascending numbers, through all three steps, against a loop.
void test_segments() {
  using Block = HostBlock<32>;
  constexpr int64_t tile = 32 * kNumbersPerThread;
  Random random(2);
  for (int64_t n : {int64_t{1}, int64_t{2}, tile - 1, tile, tile + 1, 40 * tile + 5}) {
    for (int64_t run : {1, 3, 300, 1 << 20}) {
      std::vector<uint32_t> numbers(n);
      std::vector<int32_t> expected;
      uint32_t number = 0;
      for (int64_t i = 0; i < n; ++i) {
        if (i > 0 && random.below(run) == 0) number += 1 + random.below(5);
        numbers[i] = number;
        if (i == 0 || numbers[i] != numbers[i - 1]) expected.push_back(static_cast<int32_t>(i));
      }
      const int64_t tiles = (n + tile - 1) / tile;
      std::vector<uint32_t> counts(tiles);
      std::vector<int32_t> offsets(expected.size());
      Block block(ThreadOrder::kShuffled, 1);
      for (int64_t t = 0; t < tiles; ++t) count_heads(block, {numbers.data(), n}, t, counts.data());
      const uint32_t total = sum_up(block, counts.data(), tiles);
      CHECK_EQ(total, expected.size());
      for (int64_t t = 0; t < tiles; ++t) write_heads(block, {numbers.data(), n}, t, counts[t], offsets.data());
      CHECK(offsets == expected);
    }
  }
}

}  // namespace

void test_ids(Effort) {
  test_table<int32_t>();
  test_table<int64_t>();
  test_segments();
}
