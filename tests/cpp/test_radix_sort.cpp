// The radix sort against std::sort, to the bit: -0 comes before +0.
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
  std::sort(expected.begin(), expected.end(),
            [](T a, T b) { return a < b || (a == b && std::signbit(a) && !std::signbit(b)); });
  const auto n = static_cast<int64_t>(values.size());
  probe().of<T>().radix_sort(values.data(), sorted.data(), n);
  probe().of<T>().radix_sort(values.data(), values.data(), n);  // in place
  for (int64_t i = 0; i < n; ++i) {
    CHECK_BITS(sorted[i], expected[i]);
    CHECK_BITS(values[i], expected[i]);
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
void test_type() {
  for (int64_t n : {1, 2, 3, 17, 255, 256, 1000, 4095, 4096, 5000, 20000}) {  // digits grow wider at 4096
    for (int shape = 0; shape < kShapes; ++shape) {
      check::current_case = name_of(static_cast<Shape>(shape)) + ", n = " + std::to_string(n);
      check_sort(sample<T>(static_cast<Shape>(shape), n, n));
    }
    check::current_case = "extremes, n = " + std::to_string(n);
    check_sort(extremes<T>(n));
  }
}

}  // namespace

void test_radix_sort(Effort) {
  test_type<float>();
  test_type<double>();
}
