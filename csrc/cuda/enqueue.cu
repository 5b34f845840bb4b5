#include "cuda/enqueue.h"

namespace gapo::cuda {
namespace {

__global__ void probe() {}

}  // namespace

// What runs is not told by the device alone: one of sm_90 may have got nothing but PTX for sm_80, which does not wait.
bool follows_stream() {
  thread_local int asked = -1;
  thread_local bool answer = false;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return false;
  if (device != asked) {
    cudaFuncAttributes code;
    answer = cudaFuncGetAttributes(&code, probe) == cudaSuccess && code.ptxVersion >= 90;
    asked = device;
  }
  return answer;
}

}  // namespace gapo::cuda
