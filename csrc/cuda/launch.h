// Every launcher of the CUDA library, and the structs that describe a call. Free of torch.
//
// A launcher enqueues on the stream and returns: it neither synchronises nor allocates, so it may be captured in a
// graph. Memory that it needs besides its arguments is asked for by the size function next to it; the caller brings it,
// uninitialised and aligned to kWorkspaceAlignment. Bad arguments are the caller's business: nothing is checked here
// but what CUDA returns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "definition.h"

namespace gapo::cuda {

inline constexpr std::size_t kWorkspaceAlignment = 256;

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
}

// What rewards and results are made of. kFloat64 is computed in double, everything else in float; sums are always
// added in double.
enum class Element { kFloat32, kFloat64, kFloat16, kBFloat16 };

constexpr std::size_t size_of(Element element) {
  return element == Element::kFloat64 ? 8 : element == Element::kFloat32 ? 4 : 2;
}

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
  Output out;
};

// Group numbers in device memory, appended by one kernel of the stream and read by the next.
struct WorkList {
  int64_t* groups = nullptr;  // [capacity]
  int32_t* count = nullptr;   // how many there are
  int64_t capacity = 0;       // the most there can be
};

// ---- groups up to kLargestSorted
// -------------------------------------------------------------------------------------

// The whole op for groups that lie one after the other, of one size or ragged: picks the tier, and calls launch_large
// for those above kLargestSorted. dispatch.cpp
std::size_t advantage_workspace(const Call& call);
cudaError_t launch_advantage(const Call& call, void* workspace, cudaStream_t stream);

// thread_groups.cu, lane_groups.cu, block_groups.cu: groups of at most this class's capacity (max_group_size says so).
cudaError_t launch_thread_groups(const Call& call, int size_class, cudaStream_t stream);
cudaError_t launch_lane_groups(const Call& call, int size_class, cudaStream_t stream);
cudaError_t launch_block_groups(const Call& call, int size_class, cudaStream_t stream);

// block_groups.cu: the listed groups, each of at most kLargestSorted rewards (tiers.h).
cudaError_t launch_listed_block_groups(const Call& call, const WorkList& list, cudaStream_t stream);

// ragged_groups.cu: a warp a group, up to kLargestRagged; longer ones are appended to a list: those up to
// kLargestSorted to block_list, the others to large_list. The counts have to be 0 before. A list may be empty (groups
// null) where max_group_size leaves it nothing.
cudaError_t launch_ragged_groups(const Call& call, const WorkList& block_list, const WorkList& large_list,
                                 cudaStream_t stream);

// ---- groups above kLargestSorted (large_group.cu and its neighbours)
// --------------------------------------------------

// Without a list (list.groups null): every group of the call; they have one size. With a list: the listed groups, each
// above kLargestSorted, of sizes that only the device knows (at most max_group_size).
std::size_t large_workspace(const Call& call, bool listed);
cudaError_t launch_large(const Call& call, const WorkList& list, void* workspace, cudaStream_t stream);

// ---- unordered ids (sort_ids.cu)
// ---------------------------------------------------------------------------------------

// Brings equal ids together: rows in a stable order by id, the segments' bounds, their number. The result goes into
// Groups as rows, offsets (int32) and device_count.
struct SegmentedRows {
  int32_t* rows;     // [n]
  int32_t* offsets;  // [n + 1], of which count + 1 are written
  int64_t* count;    // [1]
};

// ids: [n], any values; n < 2^31
std::size_t sort_ids_workspace(int64_t n);
cudaError_t launch_sort_ids(const int64_t* ids, int64_t n, const SegmentedRows& out, void* workspace,
                            cudaStream_t stream);

// ---- token level (tokens.cu)
// --------------------------------------------------------------------------------------------

// sums[row] = the sum of tokens[row, :], added in double in an order that depends on the row's length alone, rounded
// once. sums: [rows], float64 for float64 tokens, float32 for all others.
cudaError_t launch_row_sums(const void* tokens, Element element, int64_t rows, int64_t length, void* sums,
                            cudaStream_t stream);

// out[row, t] = values[row] * mask[row, t], and 0 where the mask is 0. values: as the sums above; out: of the element.
cudaError_t launch_token_broadcast(const void* values, const void* mask, MaskType mask_type, int64_t rows,
                                   int64_t length, void* out, Element element, cudaStream_t stream);

}  // namespace gapo::cuda
