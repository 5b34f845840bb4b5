// The whole op against the reference: equal and ragged groups, unordered ids, masks of valid rows.
#include <algorithm>
#include <map>
#include <numeric>

#include "batch.h"
#include "check.h"
#include "reference.h"
#include "tests.h"

namespace {

template <typename T>
std::vector<T> picked(const std::vector<T>& values, const std::vector<int64_t>& rows) {
  std::vector<T> result;
  for (int64_t row : rows) result.push_back(values[row]);
  return result;
}

// Checks one group of a result, given as the rows that are its members; a group without any has no statistics.
template <typename T>
void check_rows(const gapo::Rule& rule, const std::vector<T>& rewards, const std::vector<int64_t>& rows,
                const Result<T>& result, int64_t stats_row) {
  const T* stats = result.stats.data() + 4 * stats_row;
  if (!rows.empty()) return check_group(rule, picked(rewards, rows), picked(result.advantage, rows), stats);
  check::current_case = describe(rule, 0);
  for (int i = 0; i < 4; ++i) CHECK(std::isnan(stats[i]));
}

template <typename T>
void check_contiguous(const gapo::Rule& rule, const Rewards<T>& rewards, Form form, const bool* valid = nullptr) {
  const Result<T> result = run(rule, rewards, form, {}, valid);
  for (int64_t g = 0; g < rewards.count(); ++g) {
    std::vector<int64_t> rows;
    for (int64_t row = rewards.offsets[g]; row < rewards.offsets[g + 1]; ++row) {
      if (valid == nullptr || valid[row]) {
        rows.push_back(row);
      } else {
        CHECK_BITS(result.advantage[row], T{0});
      }
    }
    check_rows(rule, rewards.values, rows, result, g);
  }
}

// Rows in any order; those of each id one after the other; the same but for one row, which comes last.
enum class Rows { kShuffled, kContiguous, kOneApart };

template <typename T>
void check_ids(const gapo::Rule& rule, const Rewards<T>& rewards, const std::vector<int64_t>& id_of_group, Rows order,
               const bool* valid) {
  std::vector<int64_t> ids;
  for (int64_t g = 0; g < rewards.count(); ++g) ids.insert(ids.end(), rewards.size(g), id_of_group[g]);
  if (order == Rows::kShuffled) shuffle(ids, ids.size());
  if (order == Rows::kOneApart && !ids.empty()) std::rotate(ids.begin(), ids.begin() + 1, ids.end());
  const auto n = static_cast<int64_t>(ids.size());
  Result<T> result{std::vector<T>(n, static_cast<T>(kPoison)), std::vector<T>(4 * n, static_cast<T>(kPoison))};
  gapo::advantage_by_id<T>(rule, rewards.values.data(), ids.data(), n, valid,
                           {result.advantage.data(), result.stats.data()}, {});
  std::map<int64_t, std::vector<int64_t>> all_rows, valid_rows;
  for (int64_t row = 0; row < n; ++row) {
    all_rows[ids[row]].push_back(row);
    if (valid == nullptr || valid[row]) {
      valid_rows[ids[row]].push_back(row);
    } else {
      CHECK_BITS(result.advantage[row], T{0});
    }
  }
  for (const auto& [id, rows] : all_rows) {
    check_rows(rule, rewards.values, valid_rows[id], result, rows.front());
    for (int64_t row : rows) {
      for (int i = 0; i < 4; ++i) CHECK_BITS(result.stats[4 * row + i], result.stats[4 * rows.front() + i]);
    }
  }
}

template <typename T>
void test_contiguous_type(Effort effort) {
  const bool full = effort == Effort::kFull;
  std::vector<int64_t> sizes{127, 128, 129, 255, 256, 257, 2047, 2048, 2049, 4095, 4096, 4097};
  for (int64_t n = 1; n <= 70; n += full ? 1 : 3) sizes.push_back(n);
  if (full) {
    sizes.insert(sizes.end(), {1000, 5000});
    for (int64_t lanes = 2; lanes <= 16; lanes *= 2) {  // larger ones are binned, whatever the vectors hold
      sizes.insert(sizes.end(), {2048 * lanes, 2048 * lanes + 1});
    }
  }
  // a mix of everything, large groups between small ones, empty ones included
  std::vector<int64_t> ragged{0, 3, 2100, 0, 16, 5000, 1, 2000};
  for (int64_t n = 0; n < 75; ++n) ragged.push_back(n * n % 71);
  for (const gapo::Rule& rule : every_rule()) {
    for (int64_t n : sizes) {
      // whole batches and a rest; large groups of several shapes
      const int64_t groups = n <= 70 ? 37 : full && n <= 300 ? 21 : full && n <= 5000 ? 11 : 3;
      const Rewards<T> rewards = mixed_rewards<T>(std::vector<int64_t>(groups, n), n);
      check_contiguous(rule, rewards, Form::kEqual);
      if (n <= 5000) check_contiguous(rule, rewards, Form::kOffsets);
    }
    const Rewards<T> rewards = mixed_rewards<T>(ragged, 1);
    check_contiguous(rule, rewards, Form::kOffsets);
    const auto total = static_cast<int64_t>(rewards.values.size());
    check_contiguous(rule, rewards, Form::kOffsets, some_valid(total, 2).get());
    check_contiguous(rule, mixed_rewards<T>(std::vector<int64_t>(50, 8), 3), Form::kEqual, some_valid(400, 4).get());
    check_contiguous(rule, mixed_rewards<T>({5, 6}, 5), Form::kOffsets, std::make_unique<bool[]>(11).get());
    check_contiguous(rule, mixed_rewards<T>({}, 0), Form::kOffsets);
    check_contiguous(rule, mixed_rewards<T>({0, 0}, 0), Form::kEqual);
  }
}

template <typename T>
void test_by_id_type() {
  using Limits = std::numeric_limits<int64_t>;
  const std::vector<int64_t> sizes{16, 1, 8, 70, 2, 300, 9, 33, 16, 2100};
  const std::vector<std::vector<int64_t>> ids{
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},        // dense
      {-5, -4, 12, 0, 3, 1, -1, 44, 7, 20},  // dense from below zero on
      {Limits::min(), Limits::max(), 0, -1, 1, 1 << 20, -(1 << 20), int64_t{1} << 62, 17, -99},  // sparse
      {1000000, 2000000, 3000000, 4000000, 5000000, 6000000, 7000000, 8000000, 9000000, 9000001}};
  for (const gapo::Rule& rule : every_rule()) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Rewards<T> rewards = mixed_rewards<T>(sizes, i);
      const auto valid = some_valid(static_cast<int64_t>(rewards.values.size()), i);
      for (Rows order : {Rows::kShuffled, Rows::kContiguous, Rows::kOneApart}) {
        check_ids(rule, rewards, ids[i], order, nullptr);
        check_ids(rule, rewards, ids[i], order, valid.get());
      }
    }
    check_ids(rule, mixed_rewards<T>({}, 0), {}, Rows::kShuffled, nullptr);
    check_ids(rule, mixed_rewards<T>({2, 1, 1}, 0), {7, 3, 5}, Rows::kContiguous, nullptr);
  }
}

}  // namespace

void test_contiguous(Effort effort) {
  test_contiguous_type<float>(effort);
  test_contiguous_type<double>(effort);
}

void test_by_id(Effort) {
  using Offsets = std::vector<int64_t>;
  const auto offsets_of = [](const Offsets& ids) {
    return gapo::contiguous_offsets(ids.data(), static_cast<int64_t>(ids.size()));
  };
  check::current_case = "contiguous ids";
  CHECK(offsets_of({}) == Offsets({0}));
  CHECK(offsets_of({7}) == Offsets({0, 1}));
  CHECK(offsets_of({-1, -1, 4, 4, 9}) == Offsets({0, 2, 4, 5}));
  CHECK(offsets_of({5, 5, 3, 3, 4}) == Offsets({0, 2, 4, 5}));
  CHECK(!offsets_of({5, 5, 3, 3, 5}));
  Offsets lone(1000);
  std::iota(lone.begin(), lone.end(), 0);
  CHECK(!offsets_of(lone));  // whether they repeat would take a look at all of them
  test_by_id_type<float>();
  test_by_id_type<double>();
}
