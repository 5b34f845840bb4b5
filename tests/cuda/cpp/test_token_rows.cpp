// The token kernels' lanes on the CPU: every token once, whatever the length and the alignment.
#include <cmath>
#include <vector>

#include "check.h"
#include "cuda/token_rows.h"
#include "large_tests.h"
#include "samples.h"

namespace {

using namespace gapo::cuda;

template <typename T>
std::vector<double> lane_sums(const T* row, int64_t length, bool whole, int lanes) {
  std::vector<double> sums;
  for (int lane = 0; lane < lanes; ++lane) sums.push_back(lane_sum(row, length, whole, lane, lanes));
  return sums;
}

template <typename T>
void test_sums(const std::vector<int64_t>& lengths) {
  for (int64_t length : lengths) {
    check::current_case = "row of " + std::to_string(length);
    const int lanes = lanes_for(length, kTokensPerChunk<T>);
    CHECK(lanes >= 1 && lanes <= kMostTokenThreads && (lanes & (lanes - 1)) == 0);
    const auto tokens = sample<T>(Shape::kNormal, length, length + 1);
    alignas(16) static T padded[1 << 17];
    std::copy(tokens.begin(), tokens.end(), padded + 1);  // not at a chunk's alignment
    const auto sums = lane_sums(padded + 1, length, false, lanes);
    double total = 0.0, expected = 0.0;
    for (double sum : sums) total += sum;
    for (T token : tokens) expected += token;
    CHECK_NEAR(total, expected, 1e-12 * static_cast<double>(length + 1));
    std::copy(tokens.begin(), tokens.end(), padded);
    const bool whole = length % kTokensPerChunk<T> == 0;
    CHECK(lane_sums(padded, length, whole, lanes) == sums);  // the same order
  }
}

template <typename T, typename Mask>
void test_broadcast(const std::vector<int64_t>& lengths) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (int64_t length : lengths) {
    const int lanes = lanes_for(length, kTokensPerChunk<T>);
    std::vector<Mask> mask_memory(length + 16);
    Mask* mask = mask_memory.data();
    while (reinterpret_cast<std::uintptr_t>(mask) % 16 != 0) ++mask;
    Random random(length);
    for (int64_t t = 0; t < length; ++t) mask[t] = static_cast<Mask>(random.below(3));
    alignas(16) static T out[1 << 17];
    for (T value : {T(-1.5), nan}) {
      for (const bool whole : {false, true}) {
        if (whole && length % kTokensPerChunk<T> != 0) continue;
        std::fill(out, out + length + 1, T(7));
        for (int lane = 0; lane < lanes; ++lane) write_tokens(value, mask, length, whole, lane, lanes, out);
        for (int64_t t = 0; t < length; ++t) CHECK_EQ(out[t], mask[t] == 0 ? T(0) : value * static_cast<T>(mask[t]));
        CHECK_EQ(out[length], T(7));
      }
    }
  }
}

}  // namespace

void test_token_rows(Effort) {
  const std::vector<int64_t> lengths{0,    1,    3,    4,    5,    16,   31,   127,   128,   129,
                                     1000, 1024, 2047, 2048, 2050, 8191, 8192, 30000, 100000};
  test_sums<float>(lengths);
  test_sums<double>(lengths);
  test_broadcast<float, uint8_t>(lengths);
  test_broadcast<float, int32_t>(lengths);
  test_broadcast<float, int64_t>(lengths);
  test_broadcast<float, float>(lengths);
  test_broadcast<float, double>(lengths);
  test_broadcast<double, int64_t>(lengths);
}
