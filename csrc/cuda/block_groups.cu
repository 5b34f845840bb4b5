// One block a group: the lanes' sort goes on between warps by way of shared memory.
#include "cuda/kernel.h"

namespace gapo::cuda {
namespace {

template <bool kPlain, typename T, int kClass, typename GroupAt>
GAPO_DEVICE void block_advantage(const Call& call, int64_t count, GroupAt group_at) {
  constexpr SizeClass shape = kSizeClasses[kClass];
  using Block = Team<T, Thread, shape.lanes, shape.rewards, shape.threads>;
  __shared__ T memory[Block::kMemory];
  __shared__ double scratch[Block::kScratch];
  const Block team(memory, scratch);
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const int64_t g = group_at(i);
    group_advantage<kPlain, T>(team, call, g, slice_of(call.groups, g));
    team.sync();  // before the next group's values take the place of this one's
  }
}

template <bool kPlain, typename T, int kClass>
__global__ void GAPO_BOUNDS(T, kClass) block_groups(const __grid_constant__ Call call) {
  block_advantage<kPlain, T, kClass>(call, call.groups.count, [](int64_t i) { return i; });
}

inline constexpr int kLargestClass = size_class(kLargestSorted, false);

template <typename T>
__global__ void GAPO_BOUNDS(T, kLargestClass)
    listed_block_groups(const __grid_constant__ Call call, const __grid_constant__ WorkList list) {
  block_advantage<false, T, kLargestClass>(call, *list.count, [&](int64_t i) { return list.groups[i]; });
}

template <bool kPlain, typename T, int kClass>
cudaError_t launch(const Call& call, cudaStream_t stream) {
  constexpr SizeClass shape = kSizeClasses[kClass];
  block_groups<kPlain, T, kClass><<<blocks_for(call.groups.count, 1), shape.threads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_block_groups(const Call& call, int size_class, cudaStream_t stream) {
  return with_class<Tier::kBlock>(size_class, [&](auto chosen) {
    return with_kind(call, [&](auto plain, auto zero) {
      return launch<decltype(plain)::value, decltype(zero), decltype(chosen)::value>(call, stream);
    });
  });
}

cudaError_t launch_listed_block_groups(const Call& call, const WorkList& list, cudaStream_t stream) {
  constexpr int threads = kSizeClasses[kLargestClass].threads;
  const unsigned blocks = grid_for(list.capacity);
  if (call.element == Element::kFloat64) {
    listed_block_groups<double><<<blocks, threads, 0, stream>>>(call, list);
  } else {
    listed_block_groups<float><<<blocks, threads, 0, stream>>>(call, list);
  }
  return cudaGetLastError();
}

}  // namespace gapo::cuda
