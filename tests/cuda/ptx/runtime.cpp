// In the place of the CUDA runtime: what the library's launchers call, for a GPU of two processors, or as many as
// GAPO_PTX_PROCESSORS says, whose kernels run in machine.cpp, at once and on the calling thread. The PTX comes from the
// objects themselves, as nvcc embedded it.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "machine.h"

namespace {

constexpr int kMostBlocks = 2;  // on a processor

int variable(const char* name, int otherwise) {
  const char* const given = std::getenv(name);
  return given ? std::atoi(given) : otherwise;
}
int processors() { return variable("GAPO_PTX_PROCESSORS", 2); }

// What compute capability 9.0 allows, from the CUDA programming guide.
constexpr int kThreadsOfBlock = 1024, kThreadsOfProcessor = 2048;
constexpr int kSharedOfBlock = 227 << 10, kSharedOfProcessor = 228 << 10;  // bytes
constexpr int kSharedReserved = 1 << 10;                                   // of each block, by the system
constexpr int kProcessorsOfCluster = 18;                                   // as many share clusters: a part of the GPU

// The one kernel that ends with end_beside (enqueue.h), as its mangled name has it. A launch does not tell it.
constexpr const char* kRunsBeside = "8row_sums";

struct FatBinary {
  std::unique_ptr<ptx::Module> module;
};

// What a kernel's host function stands for.
struct Function {
  const ptx::Kernel* kernel = nullptr;
  int dynamic_shared = 48 << 10;  // the most a launch may ask for, unless it is raised
  int largest_cluster = 8;        // blocks, likewise
};

std::map<const void*, Function>& functions() {
  static std::map<const void*, Function> known;
  return known;
}

std::string& message() {
  static std::string text = "no error";
  return text;
}
cudaError_t last_error = cudaSuccess;

cudaError_t failed(cudaError_t error, const std::string& what) {
  message() = what;
  last_error = error;
  return error;
}

// The PTX among the images of a fat binary: a header, then images that have headers of their own.
std::string ptx_of(const unsigned char* data) {
  const auto read = [&]<typename T>(const unsigned char* place, T) {
    T value;
    std::memcpy(&value, place, sizeof(T));
    return value;
  };
  const unsigned char* image = data + read(data + 6, uint16_t{});
  const unsigned char* const end = image + read(data + 8, uint64_t{});
  while (image < end) {
    const auto header = read(image + 4, uint32_t{});
    const auto size = read(image + 8, uint64_t{});
    const char* const text = reinterpret_cast<const char*>(image + header);
    if (read(image, uint16_t{}) == 1) return {text, strnlen(text, size)};
    image += header + size;
  }
  return {};
}

struct Configuration {
  dim3 grid, block;
  std::size_t shared;
  cudaStream_t stream;
};
thread_local Configuration pushed;

struct How {
  bool cooperative = false, early = false;
  int cluster = 1;
};

cudaError_t read_attributes(const cudaLaunchConfig_t& config, How& how) {
  for (unsigned n = 0; n < config.numAttrs; ++n) {
    const cudaLaunchAttributeValue& value = config.attrs[n].val;
    switch (config.attrs[n].id) {
      case cudaLaunchAttributeCooperative:
        how.cooperative = value.cooperative != 0;
        break;
      case cudaLaunchAttributeProgrammaticStreamSerialization:
        how.early = value.programmaticStreamSerializationAllowed != 0;
        break;
      case cudaLaunchAttributeClusterDimension:
        how.cluster = static_cast<int>(value.clusterDim.x * value.clusterDim.y * value.clusterDim.z);
        break;
      default:
        return failed(cudaErrorNotSupported, "an unknown launch attribute");
    }
  }
  return cudaSuccess;
}

cudaError_t launch(const void* host_function, dim3 grid, dim3 block, void** arguments, std::size_t shared, How how) {
  const auto found = functions().find(host_function);
  if (found == functions().end()) return failed(cudaErrorInvalidDeviceFunction, "a kernel that was never registered");
  const Function& function = found->second;
  const ptx::Kernel& kernel = *function.kernel;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const bool fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7FFFFFFF && grid.y <= 65535 &&
                    grid.z <= 65535 && threads > 0 && threads <= kThreadsOfBlock;
  if (!fits || static_cast<int>(shared) > function.dynamic_shared) {
    return failed(cudaErrorInvalidConfiguration, "a launch of " + kernel.name + " that no GPU takes");
  }
  const bool forms_clusters =
      how.cluster > 0 && how.cluster <= function.largest_cluster && static_cast<int>(grid.x) % how.cluster == 0;
  if (!forms_clusters || (how.cooperative && how.cluster > 1)) {
    return failed(cudaErrorInvalidClusterSize, "a launch in clusters that no GPU takes");
  }
  if (how.cooperative) {
    int resident = 0;
    cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&resident, host_function, static_cast<int>(threads), shared,
                                                           0);
    if (grid.x > static_cast<unsigned>(resident * processors())) {
      return failed(cudaErrorCooperativeLaunchTooLarge, "a cooperative launch of more blocks than run at once");
    }
  }
  const bool beside = how.early && kernel.name.find(kRunsBeside) != std::string::npos;
  try {
    ptx::run({&kernel,
              {grid.x, grid.y, grid.z},
              {block.x, block.y, block.z},
              shared,
              arguments,
              how.cooperative,
              static_cast<uint32_t>(how.cluster),
              how.early,
              beside});
  } catch (const std::exception& error) {
    return failed(cudaErrorLaunchFailure, error.what());
  }
  return cudaSuccess;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  const unsigned char* data = nullptr;
  std::memcpy(&data, static_cast<const char*>(wrapper) + 8, sizeof(data));
  auto* binary = new FatBinary;  // as long as the process lives
  try {
    binary->module = ptx::parse(ptx_of(data));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the PTX could not be read: %s\n", error.what());
    std::abort();
  }
  return reinterpret_cast<void**>(binary);
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
void __cudaRegisterFunction(void** binary, const char* host_function, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  functions()[host_function].kernel = &reinterpret_cast<FatBinary*>(binary)->module->kernels.at(name);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *static_cast<cudaStream_t*>(stream) = pushed.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host_function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                               cudaStream_t) {
  return launch(kernel, grid, block, arguments, shared, {});
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* host_function, void** arguments) {
  How how;
  if (const cudaError_t error = read_attributes(*config, how)) return error;
  return launch(host_function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, how);
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorString(cudaError_t) { return message().c_str(); }

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = processors();
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = kSharedOfBlock;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    default:
      return failed(cudaErrorNotSupported, "an unknown attribute: " + std::to_string(attribute));
  }
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = variable("GAPO_PTX_DRIVER", 13000);
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  attributes->ptxVersion = attributes->binaryVersion = 90;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* host_function, cudaFuncAttribute attribute, int value) {
  Function& function = functions().at(host_function);
  if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed) function.largest_cluster = value ? 16 : 8;
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (value + static_cast<int>(function.kernel->shared_bytes) > kSharedOfBlock) {
      return failed(cudaErrorInvalidValue, "more shared memory than a block can have");
    }
    function.dynamic_shared = value;
  }
  return cudaSuccess;
}
// Shared memory decides alone: registers are the compiler's business, and it is held to its budget elsewhere.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host_function, int threads,
                                                                   std::size_t shared, unsigned) {
  const std::size_t bytes = functions().at(host_function).kernel->shared_bytes + shared + kSharedReserved;
  *blocks = std::min({kMostBlocks, kThreadsOfProcessor / threads, static_cast<int>(kSharedOfProcessor / bytes)});
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* host_function, const cudaLaunchConfig_t* config) {
  How how;
  if (const cudaError_t error = read_attributes(*config, how)) return error;
  int resident = 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&resident, host_function, static_cast<int>(config->blockDim.x),
                                                         config->dynamicSmemBytes, 0);
  *clusters = 0;
  if (how.cluster > functions().at(host_function).largest_cluster) return cudaSuccess;
  for (int left = processors(); left > 0; left -= kProcessorsOfCluster) {
    *clusters += resident * std::min(left, kProcessorsOfCluster) / how.cluster;
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* place, int value, std::size_t bytes, cudaStream_t) {
  try {
    ptx::begin_globals();
    ptx::touch_global(reinterpret_cast<uint64_t>(place), bytes, {false, true, false}, false);
  } catch (const std::exception& error) {
    return failed(cudaErrorIllegalAddress, error.what());
  }
  std::memset(place, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  try {
    ptx::begin_globals();
    ptx::touch_global(reinterpret_cast<uint64_t>(from), bytes, {true, false, false}, false);
    ptx::touch_global(reinterpret_cast<uint64_t>(to), bytes, {false, true, false}, false);
  } catch (const std::exception& error) {
    return failed(cudaErrorIllegalAddress, error.what());
  }
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

}  // extern "C"
