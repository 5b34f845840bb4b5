#include <cstdlib>
#include <string_view>

#include "cuda/enqueue.h"

namespace gapo::cuda {
namespace {

__global__ void probe() {}

// The oldest driver whose CUDA graphs accept programmatic dependent launches.
constexpr int kLeastDriver = 12030;

bool switched_off() {
  const char* given = std::getenv("GAPO_PDL");
  return given != nullptr && std::string_view(given) == "0";
}

// The device alone does not tell: one of sm_90 may run PTX for sm_80, which does not wait.
bool code_waits() {
  int driver = 0;
  cudaFuncAttributes code;
  return cudaDriverGetVersion(&driver) == cudaSuccess && driver >= kLeastDriver &&
         cudaFuncGetAttributes(&code, probe) == cudaSuccess && code.ptxVersion >= 90;
}

}  // namespace

bool follows_stream() {
  thread_local int asked = -1;
  thread_local bool answer = false;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return false;
  if (device != asked) {
    answer = !switched_off() && code_waits();
    asked = device;
  }
  return answer;
}

}  // namespace gapo::cuda
