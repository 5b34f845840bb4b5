// The sort of one group against std::sort. Which of -0 and +0 comes first is left open.
#include <algorithm>
#include <limits>
#include <vector>

#include "check.h"
#include "probe.h"
#include "samples.h"
#include "tests.h"

namespace {

template <typename T>
void check_sort(std::vector<T> values) {
  std::vector<T> expected = values, sorted(values.size());
  std::sort(expected.begin(), expected.end());
  const auto n = static_cast<int64_t>(values.size());
  probe().of<T>().sort_group(values.data(), sorted.data(), n);
  probe().of<T>().sort_group(values.data(), values.data(), n);  // in place
  for (int64_t i = 0; i < n; ++i) {
    CHECK_EQ(sorted[i], expected[i]);
    CHECK_EQ(values[i], expected[i]);
  }
}

template <typename T>
std::vector<T> extremes(int64_t n) {
  using Limits = std::numeric_limits<T>;
  const std::vector<T> values{T{0},
                              -T{0},
                              Limits::infinity(),
                              -Limits::infinity(),
                              Limits::max(),
                              Limits::lowest(),
                              Limits::denorm_min(),
                              -Limits::denorm_min(),
                              Limits::min(),
                              -Limits::min(),
                              Limits::denorm_min() * 12345,
                              T{-1.5},
                              T{1.5},
                              Limits::epsilon()};
  Random random(n);
  std::vector<T> picked(n);
  for (T& value : picked) value = values[random.below(static_cast<int64_t>(values.size()))];
  return picked;
}

template <typename T>
void test_type(Effort effort) {
  std::vector<int64_t> sizes;
  for (int64_t n = 1; n <= 700; n += effort == Effort::kFull ? 1 : 9) sizes.push_back(n);
  const int64_t lanes = probe().of<T>().lanes, step = probe().block / 8;
  for (int64_t steps = 5; steps <= 8; ++steps) {  // merges grow at these numbers of rows
    for (int64_t rows = steps * step * 8; rows * lanes < 20000; rows *= 2) {
      for (int64_t n : {rows * lanes - 1, rows * lanes, rows * lanes + 1}) sizes.push_back(n);
    }
  }
  for (int64_t n : sizes) {
    const auto shape = static_cast<Shape>(n % kShapes);
    check::current_case = name_of(shape) + ", n = " + std::to_string(n);
    check_sort(sample<T>(shape, n, n));
    check::current_case = "extremes, n = " + std::to_string(n);
    check_sort(extremes<T>(n));
  }
}

}  // namespace

void test_sort_group(Effort effort) {
  test_type<float>(effort);
  test_type<double>(effort);
}
