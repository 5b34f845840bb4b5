// Rewards at several positions at once.
#pragma once

#include "cuda/element.h"

namespace gapo::cuda {
namespace {

// The row of a position.
GAPO_DEVICE int64_t row_of(const Groups& groups, int64_t position) {
  return groups.rows ? groups.rows[position] : position;
}

// What lies at kCount places behind a position. Each kind of load is issued for all places before the first is waited
// for. One place after the other, every load would wait for the one before it: the compiler cannot know which of them
// exist, nor whether a store in between changes what they read.
template <typename E, int kCount>
struct RowBatch {
  int64_t first;         // rows are counted from here: 32 bits are then enough for each
  uint32_t row[kCount];  // where there is a place
  E reward[kCount];      // 0 where there is no place
  bool exists[kCount];
  bool is_member[kCount];  // there is one, and its row is valid

  // place_of(i): the i-th place, from `begin` on; there are `size` of them in all.
  template <typename PlaceOf>
  GAPO_DEVICE RowBatch(const Groups& groups, int64_t begin, uint32_t size, PlaceOf place_of) {
    first = groups.rows ? 0 : begin;
    const E* const rewards = static_cast<const E*>(groups.rewards) + first;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      row[i] = static_cast<uint32_t>(place_of(i));
      exists[i] = row[i] < size;
    }
    if (groups.rows != nullptr) {
      const int32_t* const rows = groups.rows + begin;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (exists[i]) row[i] = static_cast<uint32_t>(rows[row[i]]);
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      reward[i] = E{};
      if (exists[i]) reward[i] = rewards[row[i]];
      is_member[i] = exists[i];
    }
    if (groups.valid != nullptr) {
      const bool* const valid = groups.valid + first;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (exists[i]) is_member[i] = valid[row[i]];
      }
    }
  }
};

}  // namespace
}  // namespace gapo::cuda
