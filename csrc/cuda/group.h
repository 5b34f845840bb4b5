// The whole op for one group: load, statistics, write.
#pragma once

#include "cuda/statistics.h"

namespace gapo::cuda {
namespace {

// kPlain: float32, (hdi_median, rms), no row left out, no statistics wanted: what a training step asks for. It is the
// same code with everything else left out, unrolled, and with the rewards kept in registers.
GAPO_HD inline bool is_plain(const Call& call) {
  const Rule& rule = call.rule;
  return call.element == Element::kFloat32 && rule.center == Center::kHdiMedian && rule.scale == Scale::kRms &&
         !rule.report_window && call.groups.valid == nullptr && call.out.stats == nullptr;
}

// A group that is longer than its caller said: NaN, never a wrong number.
template <typename T, typename Team>
GAPO_DEVICE void refuse_group(const Team& team, const Call& call, int64_t g, const Slice& slice) {
#pragma unroll 1
  for (int64_t begin = 0; begin < slice.size; begin += Team::kCapacity) {
    const int64_t left = slice.size - begin;
    const Slice part{slice.begin + begin, left < Team::kCapacity ? left : Team::kCapacity, 1};
    write_rows<T>(team, call, g, part, nan_group());
  }
}

template <bool kByRow, typename Team>
GAPO_DEVICE void plain_advantage(const Team& team, const Call& call, const Slice& slice) {
  constexpr int n = Team::kRewards;
  constexpr int chunk = kChunkOf<Team>;
  // Rows in any order are looked up at both ends: there are no registers to keep them in.
  const int64_t first = kByRow ? 0 : slice.begin;
  const float* const rewards = static_cast<const float*>(call.groups.rewards) + first;
  float* const advantage = static_cast<float*>(call.out.advantage) + first;
  const auto at = [&](int place) { return kByRow ? call.groups.rows[slice.begin + place] : place; };
  Values<float, n> values;
  float given[n];
  const int size = static_cast<int>(slice.size);  // -1 without a group: ranks are then 0
  using Four = Chunk<float, kChunk>;
  const bool in_chunks = chunk == kChunk && !kByRow && is_aligned(rewards) && is_aligned(advantage);
  const bool whole = in_chunks && size == Team::kCapacity, in_part = in_chunks && size % kChunk == 0;
  const auto load_four = [&](int p) {
    const Four four = *reinterpret_cast<const Four*>(rewards + place_of(team, p));
#pragma unroll
    for (int i = 0; i < kChunk; ++i) given[p + i] = four.value[i];
  };
  const auto store_four = [&](int p) {
    Four four;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) four.value[i] = given[p + i];
    *reinterpret_cast<Four*>(advantage + place_of(team, p)) = four;
  };
  if (whole) {
#pragma unroll
    for (int p = 0; p < n; p += kChunk) load_four(p);
  } else if (in_part) {
#pragma unroll
    for (int p = 0; p < n; ++p) given[p] = static_cast<float>(kInfinity);
#pragma unroll
    for (int p = 0; p < n; p += kChunk) {
      if (place_of(team, p) < size) load_four(p);
    }
  } else {
#pragma unroll
    for (int p = 0; p < n; ++p) {
      const int place = place_of(team, p);
      given[p] = place < size ? rewards[at(place)] : static_cast<float>(kInfinity);
    }
  }
  bool nan = false;
#pragma unroll
  for (int p = 0; p < n; ++p) {
    values.value[p] = given[p];
    nan |= given[p] != given[p];
  }
  values.has_nan = team.any(nan);
  values.count = size;
  Rule rule;  // folded into the code, but for the numbers
  rule.tau = call.rule.tau;
  rule.eps = call.rule.eps;
  const GroupStats stats = statistics<true>(team, rule, call, slice, values);
#pragma unroll
  for (int p = 0; p < n; ++p) given[p] = advantage_of(given[p], stats);
  if (whole) {
#pragma unroll
    for (int p = 0; p < n; p += kChunk) store_four(p);
  } else if (in_part) {
#pragma unroll
    for (int p = 0; p < n; p += kChunk) {
      if (place_of(team, p) < size) store_four(p);
    }
  } else {
#pragma unroll
    for (int p = 0; p < n; p += chunk) {
      int row[chunk];  // looked up before the stores, which would hold the next one back
#pragma unroll
      for (int i = 0; i < chunk; ++i) {
        const int place = place_of(team, p + i);
        if (place < size) row[i] = at(place);
      }
#pragma unroll
      for (int i = 0; i < chunk; ++i) {
        if (place_of(team, p + i) < size) advantage[row[i]] = given[p + i];
      }
    }
  }
}

inline constexpr Slice kNoGroup{0, -1, 1};

// Every lane of the team's warp comes here together, those that have no group with kNoGroup; teams of one lane need
// not. kByRow: groups.rows is set, of which a plain call has to know beforehand.
template <bool kPlain, typename T, bool kByRow = false, typename Team>
GAPO_DEVICE void group_advantage(const Team& team, const Call& call, int64_t g, const Slice& slice) {
  if constexpr (kPlain) {
    plain_advantage<kByRow>(team, call, slice);
  } else {
    Values<T, Team::kRewards> values = load_rows<T>(team, call, slice);
    const GroupStats stats = statistics<false>(team, call.rule, call, slice, values);
    if (slice.size >= 0) write_rows<T>(team, call, g, slice, stats);
  }
}

}  // namespace
}  // namespace gapo::cuda
