// 4 to 32 lanes of a warp per group: the fewest that fit, each with a run of the group in registers.
#include "cuda/kernel.h"

namespace gapo::cuda {
namespace {

template <bool kPlain, typename T, int kClass>
__global__ void GAPO_BOUNDS(T, kClass) lane_groups(const __grid_constant__ Call call) {
  follow_stream();
  constexpr SizeClass shape = kSizeClasses[kClass];
  using Lanes = Team<T, Thread, shape.lanes, shape.rewards, shape.threads>;
  __shared__ T memory[Lanes::kMemory];
  const Lanes team(memory, nullptr);
  const int64_t g = int64_t{blockIdx.x} * shape.groups_per_block() + threadIdx.x / shape.lanes;
  constexpr bool ragged = shape.capacity() <= kLargestPacked;
  // the lanes that have no group, or none that fits, still take part in their warp's shuffles
  Slice slice = kNoGroup;
  if (g < call.groups.count) slice = ragged ? slice_of(call, g) : equal_slice(call, g);
  if (ragged && slice.size > shape.capacity()) {
    refuse_group<T>(team, call, g, slice);
    slice = kNoGroup;
  }
  group_advantage<kPlain, T>(team, call, g, slice);
}

}  // namespace

cudaError_t launch_lane_groups(const Call& call, int size_class, cudaStream_t stream) {
  return launch_class<Tier::kLanes>(call, size_class, stream, [](auto plain, auto zero, auto chosen) {
    return lane_groups<decltype(plain)::value, decltype(zero), decltype(chosen)::value>;
  });
}

}  // namespace gapo::cuda
