// A team's rows of a group: where they lie, reading them into registers, writing their advantages.
#pragma once

#include "cuda/row_batch.h"
#include "cuda/sort.h"
#include "formulas.h"

namespace gapo::cuda {
namespace {

// Positions begin .. begin + size of the groups, and the window of so many members, where it is asked for.
struct Slice {
  int64_t begin, size;
  int window;

  // At most what fits into a team; 0 for a team without a group.
  GAPO_DEVICE int count() const { return size > 0 ? static_cast<int>(size) : 0; }
};

// Of groups that have one size: nothing to read, and a window that no thread has to work out.
GAPO_DEVICE Slice equal_slice(const Call& call, int64_t g) {
  const int64_t size = call.groups.group_size;
  return {g * size, size, call.equal_window};
}

// What the offsets say of a group, be it true or not: the host has not seen them.
struct Bounds {
  int64_t begin, end;
};

GAPO_DEVICE Bounds bounds_of(const Groups& groups, int64_t g) {
  if (groups.wide_offsets) {
    const auto* offsets = static_cast<const int64_t*>(groups.offsets);
    return {offsets[g], offsets[g + 1]};
  }
  const auto* offsets = static_cast<const int32_t*>(groups.offsets);
  return {offsets[g], offsets[g + 1]};
}

// A group that does not lie within the rewards has none.
GAPO_DEVICE Slice slice_of(const Call& call, int64_t g) {
  if (call.groups.offsets == nullptr) return equal_slice(call, g);
  const auto [begin, end] = bounds_of(call.groups, g);
  const int64_t size = begin >= 0 && end > begin && end <= call.groups.total ? end - begin : 0;
  return {begin, size, static_cast<int>(window_size(size, call.rule.tau))};
}

GAPO_DEVICE int64_t group_count(const Groups& groups) {
  return groups.device_count ? *groups.device_count : groups.count;
}

// A lane's p-th value comes from this place in the group: four neighbours a lane, so that a team's loads lie side by
// side. It is the same for every alignment, and so is the order of sums.
inline constexpr int kChunk = 4;

template <typename Team>
inline constexpr int kChunkOf = Team::kRewards < kChunk ? Team::kRewards : kChunk;

template <typename Team>
GAPO_DEVICE int place_of(const Team& team, int p) {
  constexpr int chunk = kChunkOf<Team>;
  return (p / chunk * Team::kLanes + team.lane) * chunk + p % chunk;
}

// A lane's share of a group; what is not a member (beyond the group, not valid) is +inf, behind all others.
template <typename T, int kRewards>
struct Values {
  static_assert(kRewards <= 32);
  T value[kRewards];
  uint32_t members;  // a bit for each value
  int count;         // of the whole group
  bool has_nan;      // in the whole group
};

// Whether a group's rewards, and the mask's bytes, can be read four at a time, and its advantages be written so.
template <typename E>
GAPO_DEVICE bool lies_in_chunks(const Call& call, const Slice& slice) {
  const Groups& groups = call.groups;
  const auto aligned = [&](const void* memory) {
    return is_aligned(static_cast<const E*>(memory) + slice.begin, alignof(Chunk<E, kChunk>));
  };
  return groups.rows == nullptr && slice.size % kChunk == 0 && aligned(groups.rewards) && aligned(call.out.advantage) &&
         (groups.valid == nullptr || is_aligned(groups.valid + slice.begin, alignof(Chunk<bool, kChunk>)));
}

// kChunk neighbouring rewards, from a place of the group on, and whether each is a member.
template <typename E>
struct Neighbours {
  Chunk<E, kChunk> reward;  // 0 beyond the group
  Chunk<bool, kChunk> is_member;

  GAPO_DEVICE Neighbours(const Groups& groups, const Slice& slice, int place) : reward{}, is_member{} {
    const bool exists = place < slice.count();
    const int64_t position = slice.begin + place;
    if (exists) reward = *reinterpret_cast<const Chunk<E, kChunk>*>(static_cast<const E*>(groups.rewards) + position);
    if (groups.valid != nullptr) {
      if (exists) is_member = *reinterpret_cast<const Chunk<bool, kChunk>*>(groups.valid + position);
    } else {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) is_member.value[i] = exists;
    }
  }
};

// Any element, any rows, with or without a mask.
template <typename T, typename Team>
GAPO_DEVICE Values<T, Team::kRewards> load_rows(const Team& team, const Call& call, const Slice& slice) {
  const Groups& groups = call.groups;
  Values<T, Team::kRewards> values;
  values.members = 0;
  bool nan = false;
  with_element<T>(call.element, [&](auto* type) {
    using E = std::remove_pointer_t<decltype(type)>;
    constexpr int count = kChunkOf<Team>;
    E given[Team::kRewards];
    if (count == kChunk && lies_in_chunks<E>(call, slice)) {
#pragma unroll
      for (int p = 0; p < Team::kRewards; p += count) {
        const Neighbours<E> four(groups, slice, place_of(team, p));
#pragma unroll
        for (int i = 0; i < count; ++i) {
          given[p + i] = four.reward.value[i];
          if (four.is_member.value[i]) values.members |= 1u << (p + i);
        }
      }
    } else {
#pragma unroll
      for (int p = 0; p < Team::kRewards; p += count) {  // more at once take registers, and so warps
        const RowBatch<E, count> batch(groups, slice.begin, slice.count(),
                                       [&](int i) { return place_of(team, p + i); });
#pragma unroll
        for (int i = 0; i < count; ++i) {
          given[p + i] = batch.reward[i];
          if (batch.is_member[i]) values.members |= 1u << (p + i);
        }
      }
    }
#pragma unroll
    for (int p = 0; p < Team::kRewards; ++p) {
      const T value = values.members >> p & 1 ? to_compute(given[p]) : static_cast<T>(kInfinity);
      nan |= value != value;
      values.value[p] = value;
    }
  });
  values.has_nan = team.any(nan);
  values.count = slice.count();
  if (groups.valid != nullptr) {
    int count = 0;
#pragma unroll
    for (int p = 0; p < Team::kRewards; ++p) count += values.members >> p & 1;
    values.count = team.reduce(count, [](int a, int b) { return a + b; });
  }
  return values;
}

// The reward at the group's first member, which the mean is taken about.
template <typename T, typename Team>
GAPO_DEVICE double first_member(const Team& team, const Call& call, const Slice& slice,
                                const Values<T, Team::kRewards>& values) {
  int first = Team::kCapacity;
#pragma unroll
  for (int p = Team::kRewards - 1; p >= 0; --p) {
    const int place = place_of(team, p);
    if ((values.members >> p & 1) && place < first) first = place;
  }
  first = team.reduce(first, [](int a, int b) { return a < b ? a : b; });
  double reward = 0.0;
  if (first < slice.size) {
    with_element<T>(call.element, [&](auto* type) {
      const auto* rewards = static_cast<const std::remove_pointer_t<decltype(type)>*>(call.groups.rewards);
      reward = to_compute(rewards[row_of(call.groups, slice.begin + first)]);
    });
  }
  return reward;
}

template <typename T>
GAPO_DEVICE T advantage_of(T reward, const GroupStats& stats) {
  return static_cast<T>((static_cast<double>(reward) - stats.center) * stats.inverse);
}

// A row of statistics lies at its alignment: they are a tensor of their own.
template <typename E, typename T>
GAPO_DEVICE void write_stats(const GroupStats& stats, E* row) {
  const auto rounded = [](double value) { return to_element<E>(static_cast<T>(value)); };
  *reinterpret_cast<Chunk<E, 4>*>(row) = {rounded(stats.center), rounded(stats.scale), rounded(stats.lower),
                                          rounded(stats.upper)};
}

// Reads the rewards once more (they lie in a cache) and writes the advantages of group g, and its statistics.
template <typename T, typename Team>
GAPO_DEVICE void write_rows(const Team& team, const Call& call, int64_t g, const Slice& slice,
                            const GroupStats& stats) {
  const Groups& groups = call.groups;
  with_element<T>(call.element, [&](auto* type) {
    using E = std::remove_pointer_t<decltype(type)>;
    E* const advantage = static_cast<E*>(call.out.advantage);
    E* const report = static_cast<E*>(call.out.stats);
    constexpr int count = kChunkOf<Team>;
    const auto score = [&](E reward, bool is_member) {
      return to_element<E>(is_member ? advantage_of(to_compute(reward), stats) : T{0});
    };
    if (count == kChunk && lies_in_chunks<E>(call, slice)) {  // which rows by id, and so rows of statistics, do not
#pragma unroll 1
      for (int p = 0; p < Team::kRewards && place_of(team, p) < slice.count(); p += kChunk) {
        const Neighbours<E> four(groups, slice, place_of(team, p));
        Chunk<E, kChunk> scores;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) scores.value[i] = score(four.reward.value[i], four.is_member.value[i]);
        *reinterpret_cast<Chunk<E, kChunk>*>(advantage + slice.begin + place_of(team, p)) = scores;
      }
    } else {
#pragma unroll 1
      for (int p = 0; p < Team::kRewards; p += count) {
        const RowBatch<E, count> batch(groups, slice.begin, slice.count(),
                                       [&](int i) { return place_of(team, p + i); });
#pragma unroll
        for (int i = 0; i < count; ++i) {
          if (!batch.exists[i]) continue;
          const int64_t row = batch.first + batch.row[i];
          advantage[row] = score(batch.reward[i], batch.is_member[i]);
          if (report && call.out.stats_by_row) write_stats<E, T>(stats, report + kStatistics * row);
        }
      }
    }
    if (report && !call.out.stats_by_row && team.lane == 0) write_stats<E, T>(stats, report + kStatistics * g);
  });
}

}  // namespace
}  // namespace gapo::cuda
