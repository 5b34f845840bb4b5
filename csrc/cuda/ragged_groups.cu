// Groups of any sizes, a warp each: a uniform branch on the size chooses how many rewards a lane takes. Longer groups
// go to lists in device memory, which other kernels of the same stream drain.
#include <algorithm>

#include "cuda/kernel.h"

namespace gapo::cuda {
namespace {

inline constexpr int kThreads = 128;
inline constexpr int kWidest = kRaggedRewards[kRaggedClassCount - 1];

template <typename T, int kRewards>
using WarpTeam = Team<T, Thread, kWarp, kRewards, kThreads>;

template <bool kPlain, typename T, bool kByRow, int kRagged = 0>
GAPO_DEVICE void ragged_advantage(T* memory, const Call& call, int64_t g, const Slice& slice) {
  using Warp = WarpTeam<T, kRaggedRewards[kRagged]>;
  if constexpr (kRagged + 1 < kRaggedClassCount) {
    if (slice.size > Warp::kCapacity) return ragged_advantage<kPlain, T, kByRow, kRagged + 1>(memory, call, g, slice);
  }
  // every warp keeps to its own part of the memory, whatever the others' groups are
  const int spare = WarpTeam<T, kWidest>::kRow - Warp::kRow;
  const int thread =
      kept(Thread::index());  // else the addresses of all classes are computed before the loop, and spill
  const Warp team(memory + thread / kWarp * spare, nullptr, thread);
  group_advantage<kPlain, T, kByRow>(team, call, g, slice);
}

template <typename T>
GAPO_DEVICE void hand_on(const Call& call, int64_t g, const Slice& slice, const WorkList& block_list,
                         const WorkList& large_list) {
  const WorkList& list = slice.size <= kLargestSorted ? block_list : large_list;
  if (list.groups == nullptr) {  // longer than max_group_size
    return refuse_group<T>(WarpTeam<T, 1>(nullptr, nullptr), call, g, slice);
  }
  if (threadIdx.x % kWarp == 0) list.groups[atomicAdd(list.count, 1)] = g;
}

template <bool kPlain, typename T, bool kByRow>
__global__ void __launch_bounds__(kThreads, sizeof(T) == sizeof(double) ? 2 : 3)
    ragged_groups(const __grid_constant__ Call call, const __grid_constant__ WorkList block_list,
                  const __grid_constant__ WorkList large_list) {
  follow_stream();
  __shared__ T memory[WarpTeam<T, kWidest>::kMemory];
  const int64_t count = group_count(call.groups);
  const int64_t warps = int64_t{gridDim.x} * (kThreads / kWarp);
  for (int64_t g = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp; g < count; g += warps) {
    const Slice slice = slice_of(call, g);
    if (slice.size > kLargestRagged) {
      hand_on<T>(call, g, slice, block_list, large_list);
    } else {
      ragged_advantage<kPlain, T, kByRow>(memory, call, g, slice);
    }
    Thread::sync_warp();  // before the next group's values take the place of this one's
  }
}

}  // namespace

cudaError_t launch_ragged_groups(const Call& call, const WorkList& block_list, const WorkList& large_list,
                                 cudaStream_t stream) {
  return with_kind(call, [&](auto plain, auto zero) {
    const unsigned blocks = steps_for(blocks_for(call.groups.count, kThreads / kWarp));
    // where the number of groups is only bounded, most warps may find none: no more than a GPU runs in a few turns
    const Grid grid{call.groups.device_count ? std::min(blocks, 512u) : blocks, kThreads};
    constexpr bool kPlain = decltype(plain)::value;
    if (kPlain && call.groups.rows != nullptr) {
      return enqueue(ragged_groups<kPlain, decltype(zero), kPlain>, grid, stream, call, block_list, large_list);
    }
    return enqueue(ragged_groups<kPlain, decltype(zero), false>, grid, stream, call, block_list, large_list);
  });
}

}  // namespace gapo::cuda
