#include <cstdlib>
#include <string_view>

#include "cuda/enqueue.h"

namespace gapo::cuda {
namespace {

__global__ void probe() {}

// The oldest driver whose CUDA graphs accept programmatic dependent launches.
constexpr int kLeastDriver = 12030;

bool switched_off(const char* variable) {
  const char* given = std::getenv(variable);
  return given != nullptr && std::string_view(given) == "0";
}

struct Abilities {
  int device = -1;
  bool follows_stream = false, has_clusters = false;
};

// Of the code that the device runs. The device alone does not tell: one of sm_90 may run PTX for sm_80.
Abilities abilities_of(int device) {
  int driver = 0;
  cudaFuncAttributes code;
  const bool known = cudaDriverGetVersion(&driver) == cudaSuccess && cudaFuncGetAttributes(&code, probe) == cudaSuccess;
  const bool is_new = known && code.ptxVersion >= 90;
  return {device, is_new && driver >= kLeastDriver && !switched_off("GAPO_PDL"),
          is_new && !switched_off("GAPO_CLUSTERS")};
}

// Of the current device.
Abilities abilities() {
  thread_local Abilities found;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return {};
  if (device != found.device) found = abilities_of(device);
  return found;
}

}  // namespace

bool follows_stream() { return abilities().follows_stream; }

bool has_clusters() { return abilities().has_clusters; }

}  // namespace gapo::cuda
