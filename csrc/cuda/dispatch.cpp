// Which tier serves a call: by the size of its groups, or for ragged ones by the most it may be.
#include "cuda/launch.h"
#include "cuda/tiers.h"

namespace gapo::cuda {
namespace {

// The workspace of a ragged call: the lists' counts and the workspace of the large groups, which are cleared; then the
// lists.
struct RaggedMemory {
  explicit RaggedMemory(const Call& call) {
    const Groups& groups = call.groups;
    const auto most = [&](int64_t above) {
      const int64_t longer = groups.max_group_size > above ? groups.total / (above + 1) : 0;
      return longer < groups.count ? longer : groups.count;
    };
    block_capacity = most(kLargestRagged);
    large_capacity = most(kLargestSorted);
    const Workspace of_large = large_capacity > 0 ? large_workspace(call, true) : Workspace{};
    total.take(2 * sizeof(int32_t));
    large = total.take(of_large.bytes);
    block_list = total.take(block_capacity * sizeof(int64_t));
    large_list = total.take(large_capacity * sizeof(int64_t));
    total.cleared = block_capacity > 0 ? large + of_large.cleared : 0;
  }

  WorkList list_of(void* workspace, std::size_t place, int which, int64_t capacity) const {
    if (capacity == 0) return {};
    char* const memory = static_cast<char*>(workspace);
    return {reinterpret_cast<int64_t*>(memory + place), reinterpret_cast<int32_t*>(memory) + which, capacity};
  }

  int64_t block_capacity, large_capacity;
  std::size_t large, block_list, large_list;
  Workspace total;
};

// Which kernel scores a group may depend only on the group's size, or its bits would depend on the batch. The host
// knows no sizes of unordered groups, so these always take the kernel for any sizes.
bool is_ragged(const Call& call) {
  const Groups& groups = call.groups;
  if (groups.offsets == nullptr) return false;
  return groups.rows != nullptr || groups.device_count != nullptr || groups.max_group_size > kLargestPacked;
}

cudaError_t launch_ragged(const Call& call, void* workspace, cudaStream_t stream) {
  const RaggedMemory memory(call);
  const WorkList block_list = memory.list_of(workspace, memory.block_list, 0, memory.block_capacity);
  const WorkList large_list = memory.list_of(workspace, memory.large_list, 1, memory.large_capacity);
  cudaError_t error = launch_ragged_groups(call, block_list, large_list, stream);
  if (error == cudaSuccess && block_list.groups) error = launch_listed_block_groups(call, block_list, stream);
  if (error == cudaSuccess && large_list.groups) {
    error = launch_large(call, large_list, static_cast<char*>(workspace) + memory.large, stream);
  }
  return error;
}

}  // namespace

Workspace advantage_workspace(const Call& call) {
  if (call.groups.count == 0) return {};
  if (is_ragged(call)) return RaggedMemory(call).total;
  const bool whole = size_class(call.groups.max_group_size) >= 0;
  return whole ? Workspace{} : large_workspace(call, false);
}

cudaError_t launch_advantage(Call call, void* workspace, cudaStream_t stream) {
  if (call.groups.count == 0) return cudaSuccess;
  if (call.groups.offsets == nullptr) {
    call.equal_window = static_cast<int>(window_size(call.groups.group_size, call.rule.tau));
  }
  if (is_ragged(call)) return launch_ragged(call, workspace, stream);
  const int chosen = size_class(call.groups.max_group_size);
  if (chosen < 0) return launch_large(call, {}, workspace, stream);
  switch (kSizeClasses[chosen].tier) {
    case Tier::kThread:
      return launch_thread_groups(call, chosen, stream);
    case Tier::kLanes:
      return launch_lane_groups(call, chosen, stream);
    default:
      return launch_block_groups(call, chosen, stream);
  }
}

}  // namespace gapo::cuda
