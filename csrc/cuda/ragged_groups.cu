// Groups of any sizes. First the small ones, a thread each; then, a warp each, those above: a uniform branch on the
// size chooses how many rewards a lane takes. Longer groups go to lists in device memory, which other kernels of the
// same stream drain.
#include <algorithm>

#include "cuda/kernel.h"

namespace gapo::cuda {
namespace {

inline constexpr int kThreads = 128;
inline constexpr int kWidest = kRaggedRewards[kRaggedClassCount - 1];

template <typename T, int kRewards>
using WarpTeam = Team<T, Thread, kWarp, kRewards, kThreads>;
template <typename T>
using OneThread = Team<T, Thread, 1, kRaggedThread, kWarp>;

// Every warp keeps to its own part of the block's memory, whatever the others' groups are.
template <typename T>
inline constexpr int kWarpMemory = WarpTeam<T, kWidest>::kRow;
static_assert(OneThread<float>::kMemory <= kWarpMemory<float> && OneThread<double>::kMemory <= kWarpMemory<double>);

template <bool kPlain, typename T, bool kByRow, int kRagged = 0>
GAPO_DEVICE void ragged_advantage(T* memory, const Call& call, int64_t g, const Slice& slice) {
  using Warp = WarpTeam<T, kRaggedRewards[kRagged]>;
  if constexpr (kRagged + 1 < kRaggedClassCount) {
    if (slice.size > Warp::kCapacity) return ragged_advantage<kPlain, T, kByRow, kRagged + 1>(memory, call, g, slice);
  }
  const int spare = kWarpMemory<T> - Warp::kRow;
  const int thread =
      opaque(Thread::index());  // else the addresses of all classes are computed before the loop, and spill
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
  if (threadIdx.x % kWarp == 0) {
    const int place = atomicAdd(list.count, 1);
    if (place >= 0 && place < list.capacity) list.groups[place] = g;
  }
}

// Where offsets decrease, groups overlap. Large ones would then work in the same part of the workspace, and what they
// read there could lead them out of it: none is scored.
GAPO_DEVICE void withdraw_if_decreasing(const Call& call, int64_t g, const WorkList& large_list) {
  if (large_list.groups == nullptr) return;
  const auto [begin, end] = bounds_of(call.groups, g);
  if (end < begin) atomicMin(large_list.count, WorkList::kWithdrawn);
}

template <bool kPlain, typename T, bool kByRow>
__global__ void __launch_bounds__(kThreads, sizeof(T) == sizeof(double) ? 2 : 4)
    ragged_groups(const __grid_constant__ Call call, const __grid_constant__ WorkList block_list,
                  const __grid_constant__ WorkList large_list) {
  follow_stream();
  __shared__ T memory[WarpTeam<T, kWidest>::kMemory];
  const int64_t count = group_count(call.groups);
  const int64_t thread = int64_t{blockIdx.x} * kThreads + threadIdx.x, threads = int64_t{gridDim.x} * kThreads;
  const int lane = Thread::index() % kWarp;
  const OneThread<T> alone(memory + Thread::index() / kWarp * kWarpMemory<T>, nullptr, lane);
  for (int64_t g = thread; g < count; g += threads) {
    const Slice slice = slice_of(call, g);
    if (slice.size == 0) withdraw_if_decreasing(call, g, large_list);
    if (slice.size <= kRaggedThread) group_advantage<kPlain, T, kByRow>(alone, call, g, slice);
  }
  Thread::sync_warp();
  // Each lane looks at one of the warp's next groups; those that are longer are scored one after the other.
  const int64_t warps = threads / kWarp;
  for (int64_t first = thread / kWarp; first < count; first += kWarp * warps) {
    const int64_t own = first + lane * warps;
    uint32_t longer = Thread::ballot(own < count && slice_of(call, own).size > kRaggedThread);
    for (; longer != 0; longer &= longer - 1) {
      const int64_t g = first + lowest_bit(longer) * warps;
      const Slice slice = slice_of(call, g);
      if (slice.size > kLargestRagged) {
        hand_on<T>(call, g, slice, block_list, large_list);
      } else {
        ragged_advantage<kPlain, T, kByRow>(memory, call, g, slice);
      }
      Thread::sync_warp();  // before the next group's values take the place of this one's
    }
  }
}

}  // namespace

cudaError_t launch_ragged_groups(const Call& call, const WorkList& block_list, const WorkList& large_list,
                                 cudaStream_t stream) {
  const Groups& groups = call.groups;
  const int64_t longer = std::min(groups.count, groups.total / (kRaggedThread + 1));  // at most, a warp each
  const auto launch = [&](auto* kernel) {
    int64_t blocks = steps_for(divide_up(std::max(kWarp * longer, groups.count), kThreads));
    if (groups.device_count != nullptr) {  // of so many, most may find nothing to do
      int64_t at_once = 0;
      if (const cudaError_t error = blocks_at_once(kernel, kThreads, 0, at_once)) return error;
      blocks = std::min(blocks, (at_once - 1) | 1);  // odd, as steps_for says
    }
    const Grid grid{static_cast<unsigned>(blocks), kThreads};
    return enqueue(kernel, grid, stream, call, block_list, large_list);
  };
  return with_kind(call, [&](auto plain, auto zero) {
    constexpr bool kPlain = decltype(plain)::value;
    return kPlain && groups.rows != nullptr ? launch(ragged_groups<kPlain, decltype(zero), kPlain>)
                                            : launch(ragged_groups<kPlain, decltype(zero), false>);
  });
}

}  // namespace gapo::cuda
