// Puts a kernel on a stream. Where the code is for sm_90 or later, its launch is hidden behind the end of the kernel
// before it ("programmatic dependent launch"): its blocks may be there before that one has ended, and wait in
// follow_stream().
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <tuple>

namespace gapo::cuda {

// enqueue.cu: whether kernels are launched that way: the code that the current device runs waits in follow_stream(),
// and GAPO_PDL=0 did not ask for plain launches.
bool follows_stream();

// enqueue.cu: whether that code knows clusters, and GAPO_CLUSTERS=0 did not ask to do without.
bool has_clusters();

namespace {

// The first thing that every thread of a kernel does. When it returns, everything earlier on the stream has ended and
// its writes are visible, provided that other libraries' kernels launched this way wait as well. Only then may the
// blocks of the next kernel start, so that for it, too, everything before this kernel has ended and is visible.
__device__ __forceinline__ void follow_stream() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// The same for a kernel beside which the next one may run. PTX promises only that the next one may begin after the
// signal. It sees what came before both because that had ended, all of it written, before this kernel's wait returned,
// and because it reads past the L1 cache. The fence is a precaution, taken once per block, since only a block's first
// signal counts.
__device__ __forceinline__ void follow_stream_ahead() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  if (threadIdx.x == 0) {
    __threadfence();
    cudaTriggerProgrammaticLaunchCompletion();
  }
#endif
}

// The last thing that a kernel does which runs beside the one before it; it does not call follow_stream(). The one
// before begins with follow_stream_ahead(), and neither may touch what the other writes. Everything before the two has
// ended. Until it waits here, such a kernel reads by loads of device scope, which no stale line of an L1 cache serves.
// The last block waits, so that for later kernels both have ended.
__device__ __forceinline__ void end_beside() {
  if (blockIdx.x == gridDim.x - 1) follow_stream();
}

struct Grid {
  unsigned blocks;
  int threads;  // in a block
  std::size_t shared_bytes = 0;
  bool together = false;  // all blocks run at once, so that they may wait for each other
  unsigned cluster = 1;   // as many neighbours do in any case
};

// How many of the kernel's blocks the current device runs at once. GAPO_BLOCKS_PER_SM limits them per processor, for
// tools such as compute-sanitizer that use registers which the occupancy calculation does not know of.
template <typename Kernel>
cudaError_t blocks_at_once(Kernel* kernel, int threads, std::size_t shared_bytes, int64_t& blocks) {
  int device = 0, processors = 0, resident = 0;
  if (const cudaError_t error = cudaGetDevice(&device)) return error;
  if (const cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device)) {
    return error;
  }
  if (const cudaError_t error =
          cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, threads, shared_bytes)) {
    return error;
  }
  const char* const most = std::getenv("GAPO_BLOCKS_PER_SM");
  if (most != nullptr && *most != '\0') resident = std::min(resident, std::max(1, std::atoi(most)));
  blocks = int64_t{resident} * processors;
  return blocks > 0 ? cudaSuccess : cudaErrorLaunchOutOfResources;
}

inline cudaLaunchConfig_t configuration_of(const Grid& grid, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid.blocks;
  config.blockDim = static_cast<unsigned>(grid.threads);
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = stream;
  return config;
}

inline cudaLaunchAttribute clusters_of(unsigned blocks) {
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = blocks;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  return attribute;
}

// How many of the grid's clusters the current device runs at once, of up to 16 blocks each; 0 where it cannot say. The
// answers are kept: a call that is planned twice has to be planned alike, and asking takes a while.
template <typename Kernel>
int clusters_at_once(Kernel* kernel, const Grid& grid) {
  thread_local std::map<std::tuple<int, Kernel*, unsigned, std::size_t>, int> answers;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  const auto [answer, is_new] = answers.try_emplace({device, kernel, grid.cluster, grid.shared_bytes}, 0);
  int& clusters = answer->second;
  if (!is_new) return clusters;
  cudaLaunchAttribute attribute = clusters_of(grid.cluster);
  cudaLaunchConfig_t config = configuration_of(grid, nullptr);
  config.attrs = &attribute;
  config.numAttrs = 1;
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) != cudaSuccess ||
      cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess) {
    cudaGetLastError();  // answered here, and not for who asks next
    clusters = 0;
  }
  return clusters;
}

template <typename... Parameters, typename... Arguments>
cudaError_t enqueue(void (*kernel)(Parameters...), const Grid& grid, cudaStream_t stream,
                    const Arguments&... arguments) {
  cudaLaunchAttribute attributes[2];
  cudaLaunchConfig_t config = configuration_of(grid, stream);
  config.attrs = attributes;
  if (grid.cluster > 1) attributes[config.numAttrs++] = clusters_of(grid.cluster);
  cudaLaunchAttribute& when = attributes[config.numAttrs];
  if (grid.together) {
    when.id = cudaLaunchAttributeCooperative;
    when.val.cooperative = 1;
    ++config.numAttrs;
  } else if (follows_stream()) {
    when.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    when.val.programmaticStreamSerializationAllowed = 1;
    ++config.numAttrs;
  }
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace
}  // namespace gapo::cuda
