// One block per group: the lanes' sort goes on between warps by way of shared memory.
#include <algorithm>

#include "cuda/kernel.h"

namespace gapo::cuda {
namespace {

struct Found {
  int64_t g;
  Slice slice;
};

// find(i): the i-th of the groups.
template <bool kPlain, typename T, int kClass, typename Find>
GAPO_DEVICE void block_advantage(const Call& call, int64_t count, Find find) {
  constexpr SizeClass shape = kSizeClasses[kClass];
  using Block = Team<T, Thread, shape.lanes, shape.rewards, shape.threads>;
  __shared__ T memory[Block::kMemory];
  __shared__ double scratch[Block::kScratch];
  const Block team(memory, scratch);
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const Found group = find(i);
    group_advantage<kPlain, T>(team, call, group.g, group.slice);
    team.sync();  // before the next group's values take the place of this one's
  }
}

template <bool kPlain, typename T, int kClass>
__global__ void GAPO_BOUNDS(T, kClass) block_groups(const __grid_constant__ Call call) {
  follow_stream();
  block_advantage<kPlain, T, kClass>(call, call.groups.count,
                                     [&](int64_t i) { return Found{i, equal_slice(call, i)}; });
}

inline constexpr int kLargestClass = size_class(kLargestSorted);

template <typename T>
__global__ void GAPO_BOUNDS(T, kLargestClass)
    listed_block_groups(const __grid_constant__ Call call, const __grid_constant__ WorkList list) {
  follow_stream();
  block_advantage<false, T, kLargestClass>(call, list.size(), [&](int64_t i) {
    const int64_t g = list.groups[i];
    return Found{g, slice_of(call, g)};
  });
}

}  // namespace

cudaError_t launch_block_groups(const Call& call, int size_class, cudaStream_t stream) {
  return launch_class<Tier::kBlock>(call, size_class, stream, [](auto plain, auto zero, auto chosen) {
    return block_groups<decltype(plain)::value, decltype(zero), decltype(chosen)::value>;
  });
}

cudaError_t launch_listed_block_groups(const Call& call, const WorkList& list, cudaStream_t stream) {
  constexpr int threads = kSizeClasses[kLargestClass].threads;
  const auto launch = [&](auto* kernel) {
    int64_t blocks = 0;  // no more than run at once: the list may be short, or empty
    if (const cudaError_t error = blocks_at_once(kernel, threads, 0, blocks)) return error;
    const Grid grid{static_cast<unsigned>(std::min(blocks, list.capacity)), threads};
    return enqueue(kernel, grid, stream, call, list);
  };
  return call.element == Element::kFloat64 ? launch(listed_block_groups<double>) : launch(listed_block_groups<float>);
}

}  // namespace gapo::cuda
