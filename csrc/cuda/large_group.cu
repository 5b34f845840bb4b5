// Groups above kLargestSorted. One cooperative launch: as many blocks as run at once; those that share a group meet by
// way of a counter in global memory. Long groups come first, each with as many blocks as there are to spare; then every
// block takes the shorter ones by itself, one after the other.
#include <cuda_runtime.h>

#include "cuda/large_plan.h"
#include "cuda/large_statistics.h"

namespace gapo::cuda {
namespace {

struct LargeCall {
  Call call;
  LargePlan plan;
  unsigned char* workspace;
};

using Block = DeviceBlock<kLargeThreads>;

template <typename T>
constexpr int kBlocksPerProcessor = sizeof(T) == sizeof(double) ? 1 : 2;

// Parts the listed groups in those that several blocks may share, from the list's front on, and the others, from its
// back on. The order is an accident and decides nothing.
__global__ void __launch_bounds__(256) part_list(const __grid_constant__ LargeCall large, const WorkList given) {
  auto* const control = reinterpret_cast<LargeControl*>(large.workspace);
  auto* const list = reinterpret_cast<int64_t*>(large.workspace + large.plan.list);
  const int64_t capacity = large.plan.list_capacity;
  const int64_t count = *given.count < capacity ? *given.count : capacity;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t g = given.groups[i];
    const int64_t size = slice_of(large.call.groups, g).size;
    if (size > kLargestAlone && size <= large.plan.longest) {
      list[atomicAdd(&control->shared_count, 1u)] = g;
      atomicMax(&control->longest, static_cast<uint32_t>(size));
    } else {
      list[capacity - 1 - atomicAdd(&control->alone_count, 1u)] = g;
    }
  }
}

// Whose turn it is: kept and moved on by the block's first thread.
struct Schedule {
  bool sharing;          // this block shares groups with its neighbours; afterwards it takes groups by itself
  uint32_t first_block;  // of those that share
  uint32_t next, stride;
  int64_t group;  // -1 at the end

  __device__ void begin(const LargeCall& large, const LargeControl& control, Block& block) {
    const LargePlan& plan = large.plan;
    const uint32_t groups = shared_groups(large, control);
    const int64_t longest = plan.listed ? control.longest : plan.longest;
    const uint32_t share = groups > 0 ? blocks_per_group(gridDim.x, groups, longest, plan.tile) : 1;
    stride = gridDim.x / share;
    next = blockIdx.x / share;
    sharing = next < stride;  // blocks that are left over share nothing
    first_block = sharing ? next * share : blockIdx.x;
    block.rank = static_cast<int>(blockIdx.x - first_block);
    block.count = sharing ? static_cast<int>(share) : 1;
    block.arrivals = reinterpret_cast<uint32_t*>(large.workspace + plan.arrivals) + first_block;
    block.expected = 0;
  }

  __device__ void advance(const LargeCall& large, LargeControl& control, Block& block) {
    const LargePlan& plan = large.plan;
    const auto* const list = reinterpret_cast<const int64_t*>(large.workspace + plan.list);
    if (sharing && next < shared_groups(large, control)) {
      group = plan.listed ? list[next] : next;
      next += stride;
      return;
    }
    sharing = false;
    first_block = blockIdx.x;
    block.rank = 0;
    block.count = 1;
    const uint32_t taken = atomicAdd(&control.next_alone, 1u);
    const uint32_t alone = plan.listed ? control.alone_count : large.call.groups.count - shared_groups(large, control);
    group = taken >= alone ? -1 : plan.listed ? list[plan.list_capacity - 1 - taken] : taken;
  }

 private:
  // Without a list all groups have one size.
  __device__ static uint32_t shared_groups(const LargeCall& large, const LargeControl& control) {
    if (large.plan.listed) return control.shared_count;
    return large.plan.longest > kLargestAlone ? static_cast<uint32_t>(large.call.groups.count) : 0;
  }
};

template <typename T>
__global__ void __launch_bounds__(kLargeThreads, kBlocksPerProcessor<T>)
    large_groups(const __grid_constant__ LargeCall large) {
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ Block block;
  __shared__ Schedule schedule;
  __shared__ Place place;
  __shared__ Exchange<T> exchange;
  auto& control = *reinterpret_cast<LargeControl*>(large.workspace);
  if (threadIdx.x == 0) schedule.begin(large, control, block);
#pragma unroll 1
  for (;;) {
    if (threadIdx.x == 0) {
      schedule.advance(large, control, block);
      if (schedule.group >= 0) {
        const Slice slice = slice_of(large.call.groups, schedule.group);
        place = {schedule.group, slice.begin, static_cast<uint32_t>(slice.size)};
        // the host has not seen the offsets
        if (slice.begin < 0 || slice.size < 0 || slice.size > large.call.groups.total - slice.begin) place.size = 0;
        exchange = exchange_at<T>(large.plan, large.workspace, schedule.first_block, slice);
      }
    }
    __syncthreads();
    if (schedule.group < 0) return;
    const LargeGroup<T> group{large.call, place};
    if (place.size > large.plan.longest) {
      write_large(block, group, nan_group());  // longer than the caller said
    } else if (place.size > 0) {
      large_advantage(block, group, memory, large.plan.bins, exchange);
    }
    block.meet();  // the exchange is free for the next group
  }
}

// What the device offers: processors, and shared memory for a block that asks for more than the usual 48 KiB.
struct Device {
  int processors = 0, shared_memory = 0;
};

cudaError_t this_device(Device& device) {
  int number = 0;
  if (const cudaError_t error = cudaGetDevice(&number)) return error;
  if (const cudaError_t error = cudaDeviceGetAttribute(&device.processors, cudaDevAttrMultiProcessorCount, number)) {
    return error;
  }
  return cudaDeviceGetAttribute(&device.shared_memory, cudaDevAttrMaxSharedMemoryPerBlockOptin, number);
}

template <typename T>
constexpr std::size_t shared_bytes(uint32_t bins) {
  return RankedGroup<T, Block>::shared_bytes(bins);
}

// The plan, and the kernel made ready for it.
template <typename T>
cudaError_t prepare(const Call& call, bool listed, LargePlan& plan) {
  Device device;
  if (const cudaError_t error = this_device(device)) return error;
  const std::size_t most = static_cast<std::size_t>(device.shared_memory) - 1024;  // the static share
  uint32_t bins = bins_for(call.groups.max_group_size);
  while (bins > kLeastBins && shared_bytes<T>(bins) > most) bins /= 2;
  const int bytes = static_cast<int>(shared_bytes<T>(bins));
  if (const cudaError_t error =
          cudaFuncSetAttribute(large_groups<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes)) {
    return error;
  }
  int resident = 0;
  if (const cudaError_t error =
          cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, large_groups<T>, kLargeThreads, bytes)) {
    return error;
  }
  const int64_t useful = listed ? call.groups.total / (kTile<kLargeThreads> / 2) + 1
                                : call.groups.count * tile_count(call.groups.group_size, kTile<kLargeThreads>);
  const int64_t blocks = int64_t{resident} * device.processors;
  plan = plan_large(call, listed, static_cast<uint32_t>(blocks < useful ? blocks : useful), bins);
  return cudaSuccess;
}

template <typename T>
cudaError_t launch(const Call& call, const WorkList& given, void* workspace, cudaStream_t stream) {
  const bool listed = given.groups != nullptr;
  LargeCall large{call, {}, static_cast<unsigned char*>(workspace)};
  if (const cudaError_t error = prepare<T>(call, listed, large.plan)) return error;
  if (const cudaError_t error = cudaMemsetAsync(workspace, 0, large.plan.cleared, stream)) return error;
  if (listed) {
    const int64_t blocks = (large.plan.list_capacity + 255) / 256;
    part_list<<<static_cast<unsigned>(blocks < 1024 ? blocks : 1024), 256, 0, stream>>>(large, given);
    if (const cudaError_t error = cudaGetLastError()) return error;
  }
  cudaLaunchAttribute cooperative;
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = large.plan.blocks;
  config.blockDim = kLargeThreads;
  config.dynamicSmemBytes = shared_bytes<T>(large.plan.bins);
  config.stream = stream;
  config.attrs = &cooperative;
  config.numAttrs = 1;
  if (const cudaError_t error = cudaLaunchKernelEx(&config, large_groups<T>, large)) return error;
  return cudaGetLastError();
}

// Whether there is anything to do; positions and ranks are counted in 32 bits.
bool has_large(const Call& call, bool listed) {
  const Groups& groups = call.groups;
  return groups.count > 0 && groups.total > 0 && groups.max_group_size > 0 &&
         (!listed || groups.total > kLargestSorted);
}

}  // namespace

std::size_t large_workspace(const Call& call, bool listed) {
  if (!has_large(call, listed)) return 0;
  LargePlan plan;
  const cudaError_t error =
      call.element == Element::kFloat64 ? prepare<double>(call, listed, plan) : prepare<float>(call, listed, plan);
  return error == cudaSuccess ? plan.bytes : 0;  // the launch meets the same error and returns it
}

cudaError_t launch_large(const Call& call, const WorkList& list, void* workspace, cudaStream_t stream) {
  if (!has_large(call, list.groups != nullptr)) return cudaSuccess;
  if (call.groups.max_group_size > INT32_MAX || call.groups.count > INT32_MAX) return cudaErrorInvalidValue;
  return call.element == Element::kFloat64 ? launch<double>(call, list, workspace, stream)
                                           : launch<float>(call, list, workspace, stream);
}

}  // namespace gapo::cuda
