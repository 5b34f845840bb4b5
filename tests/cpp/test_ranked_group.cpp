// The binned search for the narrowest window, and its ranks, against a full sort.
#include <algorithm>
#include <vector>

#include "check.h"
#include "probe.h"
#include "samples.h"
#include "tests.h"

namespace {

int64_t narrowest(const std::vector<double>& ascending, int64_t k) {
  const auto n = static_cast<int64_t>(ascending.size());
  int64_t best = 0;
  for (int64_t i = 1; i + k <= n; ++i) {
    if (ascending[i + k - 1] - ascending[i] < ascending[best + k - 1] - ascending[best]) best = i;
  }
  return best;
}

template <typename T>
class Group {
 public:
  Group(Shape shape, int64_t n) : shape_(shape), rewards_(sample<T>(shape, n, n)) {
    ascending_.assign(rewards_.begin(), rewards_.end());
    std::sort(ascending_.begin(), ascending_.end());
  }

  // The window of k, then the ranks at its ends, its middle and some outside of it.
  void check_window(int64_t k, bool with_median) {
    check::current_case = name_of(shape_) + ", n = " + std::to_string(size()) + ", k = " + std::to_string(k);
    const int64_t expected = narrowest(ascending_, k);
    CHECK_EQ(
        rank(k, with_median, {expected, expected + k - 1, expected + (k - 1) / 2, expected + k / 2, 0, size() - 1}),
        expected);
  }

  // Any ranks, in any order, no window asked for.
  void check_ranks() {
    check::current_case = name_of(shape_) + ", n = " + std::to_string(size()) + ", ranks";
    Random random(size());
    std::vector<int64_t> ranks{size() / 2, (size() - 1) / 2, 0, size() - 1};
    for (int i = 0; i < 20; ++i) ranks.push_back(random.below(size()));
    rank(0, false, ranks);
  }

 private:
  int64_t size() const { return static_cast<int64_t>(rewards_.size()); }

  int64_t rank(int64_t k, bool with_median, const std::vector<int64_t>& ranks) {
    std::vector<double> values(ranks.size());
    const int64_t start = probe().of<T>().rank(rewards_.data(), size(), k, with_median, gapo::serial_for, ranks.data(),
                                               static_cast<int64_t>(ranks.size()), values.data());
    for (std::size_t i = 0; i < ranks.size(); ++i) CHECK_EQ(values[i], ascending_[ranks[i]]);
    return start;
  }

  Shape shape_;
  std::vector<T> rewards_;
  std::vector<double> ascending_;
};

template <typename T>
void test_type(Effort effort) {
  const bool full = effort == Effort::kFull;
  for (int s = 0; s < kShapes; ++s) {
    const auto shape = static_cast<Shape>(s);
    for (int64_t n : {2, 3, 5, 64, 300}) {
      Group<T> group(shape, n);
      group.check_ranks();
      for (int64_t k = 1; k <= n; k += full || k < 8 ? 1 : 7) group.check_window(k, k % 2 == 0);
    }
    std::vector<int64_t> sizes{4097, 40000};  // more than one chunk from 32768 on
    if (full) sizes.insert(sizes.end(), {1000, 5000, 32768, 32769, 70000});
    for (int64_t n : sizes) {
      Group<T> group(shape, n);
      group.check_ranks();
      for (int64_t k : {int64_t{1}, int64_t{2}, int64_t{3}, n / 20, n / 4, n / 2, n / 2 + 1, 9 * n / 10, n - 1, n}) {
        group.check_window(k, k % 3 != 0);
      }
    }
  }
}

}  // namespace

void test_ranked_group(Effort effort) {
  test_type<float>(effort);
  test_type<double>(effort);
}
