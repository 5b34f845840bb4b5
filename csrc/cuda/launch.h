// Every launcher of the CUDA library. Free of torch.
//
// A launcher enqueues on the stream and returns: it neither synchronises nor allocates, so it may be captured in a
// graph. Memory that it needs besides its arguments is told by the function next to it; the caller brings it, aligned
// to kWorkspaceAlignment, and clears what has to be 0: as early as it can, since a kernel's launch hides behind a
// kernel before it, not behind a memset. Bad arguments are the caller's business: nothing is checked here but what CUDA
// returns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda/call.h"
#include "mask.h"

namespace gapo::cuda {

// ---- groups of any size

// The whole op for groups that lie one after the other, of one size or ragged: picks the tier, and calls launch_large
// for those above kLargestSorted. dispatch.cpp
Workspace advantage_workspace(const Call& call);
cudaError_t launch_advantage(Call call, void* workspace, cudaStream_t stream);

// What follows is for launch_advantage, which knows who serves what and completes the call.
//
// thread_groups.cu, lane_groups.cu, block_groups.cu: groups of at most this class's capacity (max_group_size says so).
// Ragged ones up to kLargestPacked (tiers.h).
cudaError_t launch_thread_groups(const Call& call, int size_class, cudaStream_t stream);
cudaError_t launch_lane_groups(const Call& call, int size_class, cudaStream_t stream);
cudaError_t launch_block_groups(const Call& call, int size_class, cudaStream_t stream);

// block_groups.cu: the listed groups, each of at most kLargestSorted rewards (tiers.h).
cudaError_t launch_listed_block_groups(const Call& call, const WorkList& list, cudaStream_t stream);

// ragged_groups.cu: groups of any sizes up to kLargestRagged; longer ones are appended to a list: those up to
// kLargestSorted to block_list, the others to large_list. The counts have to be 0 before. A list may be empty (groups
// null) where max_group_size leaves it nothing.
cudaError_t launch_ragged_groups(const Call& call, const WorkList& block_list, const WorkList& large_list,
                                 cudaStream_t stream);

// ---- groups above kLargestSorted (large_group.cu and its neighbours)

// Without a list (list.groups null): every group of the call; they have one size. With a list: the listed groups, each
// above kLargestSorted, of sizes that only the device knows (at most max_group_size).
Workspace large_workspace(const Call& call, bool listed);
cudaError_t launch_large(const Call& call, const WorkList& list, void* workspace, cudaStream_t stream);

// ---- unordered ids

// Brings equal ids together: a segment of ascending rows for each id, the segments' bounds, their number. Which segment
// comes first may change from run to run. The result goes into Groups as rows, offsets (int32) and device_count.
struct SegmentedRows {
  int32_t* rows;     // [n]
  int32_t* offsets;  // [n + 1], of which count + 1 are written
  int64_t* count;    // [1]
};

// sort_ids.cu; ids: [n], 0 < n < 2^31
Workspace sort_ids_workspace(int64_t n);
cudaError_t launch_sort_ids(const Ids& ids, int64_t n, const SegmentedRows& out, void* workspace, cudaStream_t stream);

// few_ids.cu: 1 to kFewIds of them, by one block and without a workspace.
inline constexpr int64_t kFewIds = 8192;
cudaError_t launch_few_ids(const Ids& ids, int64_t n, const SegmentedRows& out, cudaStream_t stream);

// ---- token level (tokens.cu)

// sums[row] = the sum of tokens[row, :], added in double in an order that depends on the row's length alone, rounded
// once. sums: [rows], float64 for float64 tokens, float32 for all others. May run at the same time as the kernel before
// it on the stream, which has to be launch_sort_ids' of the same call.
// tokens: rows `stride` values apart.
cudaError_t launch_row_sums(const void* tokens, int64_t stride, Element element, int64_t rows, int64_t length,
                            void* sums, cudaStream_t stream);

// out[row, t] = values[row] * mask[row, t], and 0 where the mask is 0. values: as the sums above; out: [rows, length]
// of the element.
cudaError_t launch_token_broadcast(const void* values, const Mask& mask, int64_t rows, int64_t length, void* out,
                                   Element element, cudaStream_t stream);

}  // namespace gapo::cuda
