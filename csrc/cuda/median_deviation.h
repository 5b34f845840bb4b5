// The median of |reward - centre| of a large group: its digits one after the other, each by counting the deviations
// that agree with the digits so far. Deviations are float64 and exact to the last bit, as on the CPU.
#pragma once

#include "cuda/digit_of_rank.h"
#include "cuda/large_group.h"

namespace gapo::cuda {
namespace {

// 7 digits of 9 bits: a deviation's sign bit is 0.
inline constexpr int kDeviationDigits = 7;
inline constexpr int kDeviationBits = 9;
inline constexpr int kDeviationBins = 1 << kDeviationBits;
static_assert(kDeviationDigits * kDeviationBits == 63);
inline constexpr int kDeviationCounters = 2 * kDeviationDigits * kDeviationBins;  // of two ranks

GAPO_DEVICE unsigned long long deviation_key(double value, double center) {
  return to_key(fabs(value - center)) & ~(1ull << 63);
}

// The deviation of a rank. totals: [kDeviationDigits, kDeviationBins], 0 at first; counts: kDeviationBins + 1 in the
// block's own memory.
template <typename T, typename Block>
GAPO_DEVICE double deviation_of_rank(Block& block, const LargeGroup<T>& group, double center, uint32_t rank,
                                     uint32_t* totals, uint32_t* counts) {
  unsigned long long leading = 0;  // the digits so far
#pragma unroll 1
  for (int digit = kDeviationDigits - 1; digit >= 0; --digit, totals += kDeviationBins) {
    const int shift = digit * kDeviationBits;
    block.each([&](int thread) {
      for (int bin = thread; bin < kDeviationBins; bin += Block::kThreads) counts[bin] = 0;
    });
    group.each_reward(block, [&](T reward) {
      const unsigned long long key = deviation_key(reward, center);
      if (key >> shift >> kDeviationBits == leading) atomic_add(counts + (key >> shift) % kDeviationBins, 1u);
    });
    block.each([&](int thread) {
      for (int bin = thread; bin < kDeviationBins; bin += Block::kThreads) {
        if (counts[bin] > 0) atomic_add(totals + bin, counts[bin]);
      }
    });
    block.meet();
    const Digit found = digit_of_rank<kDeviationBins>(block, totals, rank, counts);
    leading = leading << kDeviationBits | found.value;
    rank -= found.below;
  }
  return from_key<double>(leading | 1ull << 63);
}

template <typename T, typename Block>
GAPO_DEVICE double group_median_deviation(Block& block, const LargeGroup<T>& group, uint32_t size, double center,
                                          uint32_t* totals, uint32_t* counts) {
  block.each([](int) {});               // the counts' place may still be read
  if (!is_finite(center)) return kNan;  // such a centre is itself a member: inf - inf
  const double low = deviation_of_rank(block, group, center, (size - 1) / 2, totals, counts);
  if (size % 2 == 1) return low;
  totals += kDeviationDigits * kDeviationBins;
  return middle(low, deviation_of_rank(block, group, center, size / 2, totals, counts));
}

}  // namespace
}  // namespace gapo::cuda
