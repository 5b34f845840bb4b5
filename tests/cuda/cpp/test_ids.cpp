// The table that gives equal ids one number, whoever comes first.
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

namespace {

using namespace gapo::cuda;

// Several threads number the rows at once: one number an id, another for every other.
template <typename Id>
void test_numbers(const char* what, const std::vector<Id>& ids) {
  const auto n = static_cast<int64_t>(ids.size());
  check::current_case = std::string(what) + " ids, " + std::to_string(n);
  std::vector<int32_t> claims(std::size_t{1} << table_bits(n), kUnclaimed), owners(n);
  std::vector<uint32_t> numbers(n);
  const IdTable table{{ids.data(), sizeof(Id) == 8}, claims.data(), table_bits(n)};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t row = t; row < n; row += 4) {
        const auto [place, owner] = table.find(static_cast<int32_t>(row), ids[row]);
        numbers[row] = place;
        owners[row] = owner;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<Id, std::set<uint32_t>> of_id;
  std::set<uint32_t> all;
  for (int64_t row = 0; row < n; ++row) {
    CHECK(numbers[row] < claims.size());
    CHECK_EQ(owners[row], owners[owners[row]]);
    CHECK_EQ(ids[row], ids[owners[row]]);
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
    CHECK((int64_t{1} << table_bits(n)) > n);  // a place stays free, so that a search ends
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

}  // namespace

void test_ids(Effort) {
  test_table<int32_t>();
  test_table<int64_t>();
}
