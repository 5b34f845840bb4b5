// Puts a kernel on a stream. Where the code is for sm_90 or later, its launch is hidden behind the end of the kernel
// before it ("programmatic dependent launch"): its blocks may be there before that one has ended, and wait in
// follow_stream().
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace gapo::cuda {

// enqueue.cu: whether kernels are launched that way: the code that the current device runs waits in follow_stream(),
// and GAPO_PDL=0 did not ask for plain launches.
bool follows_stream();

namespace {

// The first thing that every thread of a kernel does. All that came before on the stream has ended then, and is
// seen, provided that kernels of others which are launched this way wait as well. Only now the next kernel's blocks may
// come: it, too, finds everything before this kernel ended and seen.
__device__ __forceinline__ void follow_stream() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// The same for a kernel that the next one may run beside. PTX promises of the signal only that the next one may begin:
// that whatever came before both is seen there rests on its having ended, all of it written, before this kernel's wait
// returned, and on the next one's reading it past the L1 cache. The fence is a precaution, and taken once a block,
// whose first signal counts.
__device__ __forceinline__ void follow_stream_ahead() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  if (threadIdx.x == 0) {
    __threadfence();
    cudaTriggerProgrammaticLaunchCompletion();
  }
#endif
}

// What a kernel does last that runs beside the one before it, in the place of follow_stream(): that one begins with
// follow_stream_ahead(), and neither may touch what the other writes. Everything before that one has ended. Until this
// one waits, it reads by loads of the device's scope, which no stale line of an L1 cache serves. The last block waits,
// so that whoever comes behind this kernel finds both ended.
__device__ __forceinline__ void end_beside() {
  if (blockIdx.x == gridDim.x - 1) follow_stream();
}

struct Grid {
  unsigned blocks;
  int threads;  // in a block
  std::size_t shared_bytes = 0;
  bool together = false;  // all blocks run at once, so that they may wait for each other
};

// How many of the kernel's blocks the current device runs at once; GAPO_BLOCKS_PER_SM, no more of them for each of its
// processors: for tools that take registers of which the occupancy does not know.
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

template <typename... Parameters, typename... Arguments>
cudaError_t enqueue(void (*kernel)(Parameters...), const Grid& grid, cudaStream_t stream,
                    const Arguments&... arguments) {
  cudaLaunchAttribute attribute;
  if (grid.together) {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  } else {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid.blocks;
  config.blockDim = static_cast<unsigned>(grid.threads);
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = grid.together || follows_stream() ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace
}  // namespace gapo::cuda
