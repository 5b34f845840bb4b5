// The column sort against std::sort, and what load_columns puts into a column.
#include <algorithm>
#include <limits>
#include <vector>

#include "check.h"
#include "probe.h"
#include "samples.h"
#include "tests.h"

namespace {

template <typename T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

int64_t whole_blocks(int64_t rows) { return (rows + probe().block - 1) / probe().block * probe().block; }

template <typename T>
void check_sort(int64_t rows) {
  check::current_case = "sort of " + std::to_string(rows) + " rows";
  const auto& typed = probe().of<T>();
  std::vector<T> columns(whole_blocks(rows) * typed.lanes, kInfinity<T>);
  std::vector<std::vector<T>> expected(typed.lanes);
  for (int lane = 0; lane < typed.lanes; ++lane) {
    expected[lane] = sample<T>(static_cast<Shape>((lane + rows) % kShapes), rows, rows);
    if (lane % 3 == 1) expected[lane][rows / 2] = lane % 2 ? kInfinity<T> : -kInfinity<T>;
    for (int64_t row = 0; row < rows; ++row) columns[row * typed.lanes + lane] = expected[lane][row];
    std::sort(expected[lane].begin(), expected[lane].end());
  }
  typed.sort_columns(columns.data(), rows);
  for (int lane = 0; lane < typed.lanes; ++lane) {
    for (int64_t row = 0; row < rows; ++row) CHECK_EQ(columns[row * typed.lanes + lane], expected[lane][row]);
  }
}

template <typename T>
void test_sort(Effort effort) {
  for (int64_t rows = 1; rows <= 300; ++rows) check_sort<T>(rows);
  if (effort == Effort::kSmall) return check_sort<T>(4095);
  for (int64_t rows :
       {511, 512, 513, 515, 700, 1000, 1023, 1024, 1025, 1100, 1337, 1500, 2000, 2040, 2047, 2048, 3333, 4095, 4096}) {
    check_sort<T>(rows);
  }
}

// Every reward is a number of its own, so that none can stand in for another.
template <typename T>
void check_columns(const std::vector<const T*>& groups, const std::vector<int64_t>& sizes, const std::vector<T>& got) {
  const int lanes = probe().of<T>().lanes;
  const int64_t rows = static_cast<int64_t>(got.size()) / lanes;
  for (int lane = 0; lane < lanes; ++lane) {
    const std::size_t group = std::min<std::size_t>(lane, groups.size() - 1);  // idle lanes repeat the last group
    for (int64_t row = 0; row < rows; ++row) {
      CHECK_EQ(got[row * lanes + lane], row < sizes[group] ? groups[group][row] : kInfinity<T>);
    }
  }
}

template <typename T>
std::vector<T> numbers(int64_t n, int64_t first) {
  std::vector<T> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<T>(first + i);
  return values;
}

template <typename T>
void check_equal(int64_t size, int count) {
  check::current_case = std::to_string(count) + " equal groups of " + std::to_string(size);
  const auto& typed = probe().of<T>();
  const std::vector<T> rewards = numbers<T>(size * count, 1);
  std::vector<const T*> groups;
  for (int i = 0; i < count; ++i) groups.push_back(rewards.data() + i * size);
  const std::vector<int64_t> sizes(count, size);
  std::vector<T> columns(whole_blocks(size) * typed.lanes, T{-1});
  typed.load_equal(rewards.data(), size, count, columns.data());
  check_columns(groups, sizes, columns);
  std::fill(columns.begin(), columns.end(), T{-1});
  typed.load_any(groups.data(), sizes.data(), count, columns.data());  // compact, but found out one by one
  check_columns(groups, sizes, columns);
}

// Groups in memory of their own: of all sizes from `least` to `size`.
template <typename T>
void check_scattered(int64_t least, int64_t size, int count) {
  check::current_case =
      std::to_string(count) + " scattered groups of " + std::to_string(least) + " to " + std::to_string(size);
  std::vector<std::vector<T>> memory;
  std::vector<const T*> groups;
  std::vector<int64_t> sizes;
  for (int i = 0; i < count; ++i) {
    sizes.push_back(size - 5 * i % (size - least + 1));
    memory.push_back(numbers<T>(sizes.back(), 1000 * i));
    groups.push_back(memory.back().data());
  }
  std::vector<T> columns(whole_blocks(*std::max_element(sizes.begin(), sizes.end())) * probe().of<T>().lanes, T{-1});
  probe().of<T>().load_any(groups.data(), sizes.data(), count, columns.data());
  check_columns(groups, sizes, columns);
}

template <typename T>
void test_load() {
  const int lanes = probe().of<T>().lanes;
  for (int64_t size = 1; size <= 70; ++size) {
    for (int count = 1; count <= lanes; ++count) {
      check_equal<T>(size, count);
      for (int64_t least : {int64_t{1}, (size + 1) / 2, size}) check_scattered<T>(least, size, count);
    }
  }
}

}  // namespace

void test_sort_columns(Effort effort) {
  test_sort<float>(effort);
  test_sort<double>(effort);
}

void test_load_columns(Effort) {
  test_load<float>();
  test_load<double>();
}
