// The structs that describe a call to the CUDA kernels. Plain C++: the tests compile them, and the kernels, without
// CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "definition.h"
#include "host_device.h"

namespace gapo::cuda {

// What rewards and results are made of. kFloat64 is computed in double, everything else in float; sums are always
// added in double.
enum class Element { kFloat32, kFloat64, kFloat16, kBFloat16 };

// Groups that lie one after the other: all of one size (offsets null), or group g at positions offsets[g] ..
// offsets[g+1].
struct Groups {
  const void* rewards = nullptr;  // [total] of the call's element
  const bool* valid = nullptr;    // [total] or null; rows that are not valid get advantage 0 and are in no statistic
  int64_t total = 0;              // rewards of all groups
  int64_t count = 0;              // groups; where device_count is set, the most there can be
  int64_t group_size = 0;         // of every group, where offsets is null
  int64_t max_group_size = 0;     // no group is longer; equal to group_size where offsets is null

  const void* offsets = nullptr;          // [count + 1], int32 or int64, or null
  bool wide_offsets = false;              // int64
  const int64_t* device_count = nullptr;  // number of groups in device memory, where the host does not know it, or null
  const int32_t* rows = nullptr;          // [total] or null: position p of the groups is row rows[p] of rewards, valid,
                                          // advantage, and of stats where those are by row
};

struct Output {
  void* advantage = nullptr;  // [total] of the call's element
  void* stats = nullptr;      // [count, 4] or, by row, [total, 4], of the call's element; or null
  bool stats_by_row = false;  // each row its group's; otherwise one row a group
};

struct Call {
  Rule rule;  // report_window is set where stats are wanted
  Element element = Element::kFloat32;
  Groups groups;
  int equal_window = 0;  // window_size of groups.group_size, where offsets is null; launch_advantage fills it in
  Output out;
};

inline constexpr std::size_t kWorkspaceAlignment = 256;

constexpr std::size_t aligned(std::size_t bytes) { return divide_up(bytes, kWorkspaceAlignment) * kWorkspaceAlignment; }

// Device memory that a launcher needs besides its arguments.
struct Workspace {
  std::size_t bytes = 0;
  std::size_t cleared = 0;  // this many from the start are 0 when its first kernel begins

  // Reserves so many more bytes; returns where they begin.
  std::size_t take(std::size_t more) {
    const std::size_t place = bytes;
    bytes += aligned(more);
    return place;
  }
};

// Ids of any values, one a row.
struct Ids {
  const void* values = nullptr;
  bool wide = false;  // int64, else int32

  GAPO_HD int64_t operator[](int64_t row) const {
    return wide ? static_cast<const int64_t*>(values)[row] : static_cast<const int32_t*>(values)[row];
  }
};

// Group numbers in device memory, appended by one kernel of the stream and read by the next.
struct WorkList {
  int64_t* groups = nullptr;  // [capacity]
  int32_t* count = nullptr;   // how many were listed; more than capacity if groups overlap
  int64_t capacity = 0;       // the most there can be

  static constexpr int32_t kWithdrawn = INT32_MIN;  // as count: no group is to be served, however many are added

  GAPO_HD int64_t size() const {
    const int32_t listed = *count > 0 ? *count : 0;
    return listed < capacity ? listed : capacity;
  }
};

}  // namespace gapo::cuda
