// The CUDA library's torch ops, as torch.ops.gapo_ptx, for tensors that lie in the CPU's memory.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>

#undef STABLE_TORCH_LIBRARY
#define STABLE_TORCH_LIBRARY(ns, m) _STABLE_TORCH_LIBRARY_FRAGMENT(gapo_ptx, m, schema)
#undef STABLE_TORCH_LIBRARY_IMPL
#define STABLE_TORCH_LIBRARY_IMPL(ns, k, m) _STABLE_TORCH_LIBRARY_IMPL(gapo_ptx, CPU, m, ops)
#include "torch/cuda_ops.cpp"
#include "torch/schema.cpp"

// What they ask of torch's CUDA build.
extern "C" {

AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = nullptr;
  return 0;
}
AOTITorchError aoti_torch_create_device_guard(int32_t, DeviceGuardHandle* guard) {
  *guard = nullptr;
  return 0;
}
AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) { return 0; }

}  // extern "C"
