// Sorts the values that a team holds in registers: a network in each lane, then bitonic merges between lanes.
// Afterwards lane l holds the ranks l * kRewards and following.
#pragma once

#include "cuda/team.h"
#include "sorting_network.h"

namespace gapo::cuda {
namespace {

GAPO_DEVICE float lesser(float a, float b) {
#if defined(__CUDA_ARCH__)
  return fminf(a, b);  // one instruction
#else
  return b < a ? b : a;
#endif
}
GAPO_DEVICE float greater(float a, float b) {
#if defined(__CUDA_ARCH__)
  return fmaxf(a, b);
#else
  return b < a ? a : b;
#endif
}
GAPO_DEVICE double lesser(double a, double b) { return b < a ? b : a; }
GAPO_DEVICE double greater(double a, double b) { return b < a ? a : b; }

template <typename T>
GAPO_DEVICE void exchange(T& low, T& high) {
  const T smaller = lesser(low, high);
  high = greater(low, high);
  low = smaller;
}

template <const auto& kNetwork, typename T, std::size_t... I>
GAPO_DEVICE void run_network([[maybe_unused]] T* values, std::index_sequence<I...>) {
  (exchange(values[std::integral_constant<int, kNetwork.comparators[I].low>::value],
            values[std::integral_constant<int, kNetwork.comparators[I].high>::value]),
   ...);
}

template <const auto& kNetwork, typename T>
GAPO_DEVICE void run_network(T* values) {
  run_network<kNetwork>(values, std::make_index_sequence<kNetwork.size>{});
}

// What a lane keeps of its value and its partner's: the smaller one in lower lanes, the larger one in the others.
template <typename T, bool kSigned>
struct Keep {
  bool lower = true;

  template <int kCount>
  GAPO_DEVICE void turn(T*, bool now_lower) {
    lower = now_lower;
  }
  GAPO_DEVICE T operator()(T mine, T other) const { return lower ? lesser(mine, other) : greater(mine, other); }
};

// The compiler issues both a minimum and a maximum for that, on a pipe of half the rate. So within a warp the lanes
// that keep the larger values carry them negated: all take a minimum, and signs change by multiplications, for which
// there is another pipe. Between warps, by way of memory, that took more registers and more instructions.
template <>
struct Keep<float, true> {
  float sign = 1.0f;

  template <int kCount>
  GAPO_DEVICE void turn(float* values, bool now_lower) {
    const float change = now_lower ? sign : -sign;
#pragma unroll
    for (int p = 0; p < kCount; ++p) values[p] *= change;
    sign = now_lower ? 1.0f : -1.0f;
  }
  GAPO_DEVICE float operator()(float mine, float other) const { return lesser(mine, -other); }
};

// Exchanges all values with the lane whose number differs by the bits of `mask`, of which the lower one has no `bit`.
// kMirrored: value p meets the partner's value kRewards - 1 - p.
template <bool kMirrored, typename Team, typename T, typename Keep>
GAPO_DEVICE void exchange_lanes(const Team& team, T* values, int mask, int bit, Keep& keep) {
  using Thread = typename Team::Thread;
  constexpr int n = Team::kRewards;
  keep.template turn<n>(values, (team.lane & bit) == 0);
  if (!Team::kOneWarp && mask >= kWarp) {  // by way of memory
    T* const place = team.memory + team.lane;
    team.sync();  // the partners may still read what is there
#pragma unroll
    for (int p = 0; p < n; ++p) place[p * Team::kLanes] = values[p];
    team.sync();
    const T* const other = team.memory + (team.lane ^ mask);
#pragma unroll
    for (int p = 0; p < n; ++p) values[p] = keep(values[p], other[(kMirrored ? n - 1 - p : p) * Team::kLanes]);
  } else if constexpr (kMirrored && n > 1) {
#pragma unroll
    for (int p = 0; p < n / 2; ++p) {
      const T first = Thread::partner(values[n - 1 - p], mask);
      const T second = Thread::partner(values[p], mask);
      values[p] = keep(values[p], first);
      values[n - 1 - p] = keep(values[n - 1 - p], second);
    }
  } else {
#pragma unroll
    for (int p = 0; p < n; ++p) values[p] = keep(values[p], Thread::partner(values[p], mask));
  }
}

// Runs of `lanes` / 2 lanes become runs of `lanes`.
template <bool kUnroll, typename Team, typename T>
GAPO_DEVICE void merge_lanes(const Team& team, T* values, int lanes) {
  Keep<T, Team::kOneWarp && sizeof(T) == sizeof(float)> keep;
  exchange_lanes<true>(team, values, lanes - 1, lanes / 2, keep);
#pragma unroll(kUnroll ? 8 : 1)
  for (int stride = lanes / 4; stride > 0; stride /= 2) exchange_lanes<false>(team, values, stride, stride, keep);
  keep.template turn<Team::kRewards>(values, true);
  run_network<kMergeNetwork<Team::kRewards>>(values);
}

// kUnroll: straight-line code, faster to run and slower to compile.
template <bool kUnroll, typename Team, typename T>
GAPO_DEVICE void sort_team(const Team& team, T* values) {
  run_network<kSortNetwork<Team::kRewards>>(values);
#pragma unroll(kUnroll ? 8 : 1)
  for (int lanes = 2; lanes <= Team::kLanes; lanes *= 2) merge_lanes<kUnroll>(team, values, lanes);
}

}  // namespace
}  // namespace gapo::cuda
