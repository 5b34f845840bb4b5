// Groups above kLargestSorted, in one launch. Blocks that share a group are a cluster, where few groups have one size
// and the device knows clusters. Otherwise the launch is cooperative, of as many blocks as run at once: long groups
// come first, each with as many blocks as there are to spare, which meet by way of a counter in global memory; then
// every block takes the shorter ones by itself, one after the other.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/enqueue.h"
#include "cuda/large_schedule.h"
#include "cuda/launch.h"

namespace gapo::cuda {
namespace {

struct Block : DeviceBlock<kLargeThreads> {
  static constexpr uint32_t kTile = kLargeTile;
};

template <typename T>
constexpr int kBlocksPerProcessor = sizeof(T) == sizeof(double) ? 1 : 2;

constexpr int kListThreads = 256;

__global__ void __launch_bounds__(kListThreads) part_list(const __grid_constant__ LargeCall large) {
  follow_stream();
  const int64_t stride = int64_t{gridDim.x} * kListThreads;
  for (int64_t i = int64_t{blockIdx.x} * kListThreads + threadIdx.x; i < large.given.size(); i += stride) {
    part_group(large, large.given.groups[i]);
  }
}

template <typename T>
__global__ void __launch_bounds__(kLargeThreads, kBlocksPerProcessor<T>)
    large_groups(const __grid_constant__ LargeCall large) {
  follow_stream();
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ Block block;
  __shared__ Turn<T> turn;
  serve_groups(large, blockIdx.x, block, turn, memory);
}

// Makes all the shared memory that the current device has for a block the kernel's, and says how much that is.
template <typename T>
cudaError_t take_shared_memory(std::size_t& bytes) {
  int device = 0, most = 0;
  if (const cudaError_t error = cudaGetDevice(&device)) return error;
  if (const cudaError_t error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device)) {
    return error;
  }
  constexpr int static_share = 1024;
  static_assert(sizeof(Block) + sizeof(Turn<T>) <= static_share);
  bytes = static_cast<std::size_t>(most - static_share);
  // whatever this call needs: launches of other threads and graphs go by it as well
  return cudaFuncSetAttribute(large_groups<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, most - static_share);
}

// Of the tiles of a group that so many blocks share, as many as each holds, at most `most`.
uint32_t held_by_each(uint32_t most, int64_t group_size, uint32_t blocks) {
  const int64_t tiles = divide_up(divide_up(group_size, kLargeTile), blocks);
  return static_cast<uint32_t>(std::min(int64_t{most}, tiles));
}

// How many blocks serve each of the call's groups, of one size, as a cluster, and with how many bins. 1: there is not
// room for all clusters at once, and groups would wait for others. With half the bins two blocks may fit in a
// processor.
template <typename T>
uint32_t choose_cluster(const Groups& groups, uint32_t blocks, uint32_t held, uint32_t& bins) {
  const uint32_t cluster = cluster_for(blocks, groups.count, groups.group_size, kLargeTile);
  held = held_by_each(held, groups.group_size, cluster);
  for (const uint32_t fewer : {bins, bins / 2}) {
    if (cluster == 1 || fewer < kLeastBins) break;
    const Grid grid{cluster, kLargeThreads, block_memory<T, Block>(fewer, held), false, cluster};
    if (clusters_at_once(large_groups<T>, grid) < groups.count) continue;
    bins = fewer;
    return cluster;
  }
  return 1;
}

template <typename T>
cudaError_t plan_for(const Call& call, bool listed, LargePlan& plan) {
  std::size_t most = 0;
  if (const cudaError_t error = take_shared_memory<T>(most)) return error;
  const Groups& groups = call.groups;
  uint32_t bins = bins_for(groups.max_group_size), held = held_by_each(kTilesAlone, groups.max_group_size, 1);
  while (block_memory<T, Block>(bins, held) > most) {
    if (held > 1 || bins == kLeastBins) {
      --held;
    } else {
      bins /= 2;
    }
  }
  int64_t blocks = 0;
  if (const cudaError_t error =
          blocks_at_once(large_groups<T>, kLargeThreads, block_memory<T, Block>(bins, held), blocks)) {
    return error;
  }
  const uint32_t cluster =
      !listed && has_clusters() ? choose_cluster<T>(groups, static_cast<uint32_t>(blocks), held, bins) : 1;
  const int64_t tiles = divide_up(groups.max_group_size, kLargeTile);
  const int64_t useful = listed        ? groups.total / (kLargeTile / 2) + 1
                         : cluster > 1 ? groups.count * cluster
                                       : groups.count * (tiles > kTilesAlone ? tiles : 1);
  held = held_by_each(held, groups.max_group_size, cluster);
  plan = plan_large(call, listed, static_cast<uint32_t>(std::min(blocks, useful)), bins, held);
  plan.cluster = cluster;
  return cudaSuccess;
}

template <typename T>
cudaError_t launch(const Call& call, const WorkList& given, void* workspace, cudaStream_t stream) {
  const bool listed = given.groups != nullptr;
  LargeCall large{call, {}, static_cast<unsigned char*>(workspace), given};
  if (const cudaError_t error = plan_for<T>(call, listed, large.plan)) return error;
  if (large.plan.parts()) {
    const int64_t blocks = divide_up(large.plan.list_capacity, kListThreads);
    const Grid grid{static_cast<unsigned>(std::min(blocks, int64_t{1024})), kListThreads};
    if (const cudaError_t error = enqueue(part_list, grid, stream, large)) return error;
  }
  const std::size_t shared_bytes = block_memory<T, Block>(large.plan.bins, large.plan.held_tiles);
  const bool shares = large.plan.shares(call.groups.count);
  const Grid grid{large.plan.blocks, kLargeThreads, shared_bytes, shares, large.plan.cluster};
  return enqueue(large_groups<T>, grid, stream, large);
}

// Whether there is anything to do.
bool has_large(const Call& call, bool listed) {
  const Groups& groups = call.groups;
  return groups.count > 0 && groups.total > 0 && groups.max_group_size > 0 &&
         (!listed || groups.total > kLargestSorted);
}

}  // namespace

Workspace large_workspace(const Call& call, bool listed) {
  if (!has_large(call, listed)) return {};
  LargePlan plan;
  const cudaError_t error =
      call.element == Element::kFloat64 ? plan_for<double>(call, listed, plan) : plan_for<float>(call, listed, plan);
  if (error != cudaSuccess) return {};  // the launch meets the same error and returns it
  return {plan.workspace.bytes, plan.counts(call.groups.count) ? plan.workspace.cleared : 0};
}

cudaError_t launch_large(const Call& call, const WorkList& list, void* workspace, cudaStream_t stream) {
  if (!has_large(call, list.groups != nullptr)) return cudaSuccess;
  return call.element == Element::kFloat64 ? launch<double>(call, list, workspace, stream)
                                           : launch<float>(call, list, workspace, stream);
}

}  // namespace gapo::cuda
