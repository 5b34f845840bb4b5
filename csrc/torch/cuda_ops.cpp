// The CUDA implementations of torch.ops.gapo.*: check, describe the call, enqueue it on the current stream.
//
// Nothing waits for the device or reads from its memory, and all memory comes from torch's caching allocator, so that
// every op may be captured in a CUDA graph.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "cuda/launch.h"
#include "torch/checks.h"
#include "torch/tensors.h"

namespace gapo::op {
namespace {

using cuda::Call;
using cuda::Element;

Element element_of(ScalarType type) {
  switch (type) {
    case ScalarType::Double:
      return Element::kFloat64;
    case ScalarType::Half:
      return Element::kFloat16;
    case ScalarType::BFloat16:
      return Element::kBFloat16;
    default:
      return Element::kFloat32;
  }
}

// As long as it lives, the tensor's device is the current one. Holds that device's current stream.
struct Device {
  explicit Device(const Tensor& tensor) : index(tensor.get_device_index()), guard(index) {
    void* current = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index, &current));
    stream = static_cast<cudaStream_t>(current);
  }
  int32_t index;
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;
};

void check_launch(const char* op, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // CUDA keeps it, and the next launch would be taken for the failed one
  const bool foreign = error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction;
  GAPO_CHECK(false, op, " could not be launched: ", cudaGetErrorString(error),
             foreign ? "; this build has kernels for " GAPO_CUDA_ARCHITECTURES : "");
}

// A launcher's workspace, from the caching allocator; the part that has to be 0 is cleared.
class Memory {
 public:
  Memory(const char* op, const cuda::Workspace& needed, const Tensor& like, const Device& device) {
    const std::vector<int64_t> sizes{static_cast<int64_t>(needed.bytes)};
    if (needed.bytes > 0) held_ = torch::stable::new_empty(like, sizes, ScalarType::Byte);
    if (needed.cleared > 0) check_launch(op, cudaMemsetAsync(at<char>(0), 0, needed.cleared, device.stream));
  }
  template <typename T = void>
  T* at(std::size_t place) const {
    return static_cast<T*>(static_cast<void*>(held_ ? static_cast<char*>(held_->data_ptr()) + place : nullptr));
  }

 private:
  std::optional<Tensor> held_;
};

// Scores groups that lie one after the other.
void run(const char* op, const Call& call, const Tensor& rewards) {
  const Device device(rewards);
  const Memory memory(op, cuda::advantage_workspace(call), rewards, device);
  check_launch(op, cuda::launch_advantage(call, memory.at(0), device.stream));
}

Call describe_call(const Rule& rule, const Tensor& rewards, const Valid& valid, const Tensor& advantage,
                   const std::optional<Tensor>& stats) {
  Call call;
  call.rule = rule;
  call.element = element_of(rewards.scalar_type());
  call.groups.rewards = rewards.data_ptr();
  call.groups.valid = valid.get();
  call.groups.total = rewards.numel();
  call.out.advantage = advantage.data_ptr();
  call.out.stats = stats ? stats->data_ptr() : nullptr;
  return call;
}

Tensor dense(const char* op, const Rule& rule, const Tensor& given, const std::optional<Tensor>& given_valid,
             const std::optional<Tensor>& stats) {
  const int64_t size = given.size(given.dim() - 1);
  const Tensor rewards = as_contiguous(given);
  const Valid valid(given_valid);
  const Tensor result = empty_like(rewards);
  Call call = describe_call(rule, rewards, valid, result, stats);
  call.groups.group_size = call.groups.max_group_size = size;
  // groups without rewards still have a row of statistics, NaN
  call.groups.count = stats ? stats->numel() / kStatistics : size == 0 ? 0 : rewards.numel() / size;
  run(op, call, rewards);
  return result;
}

Tensor advantage(const Tensor& rewards, double tau, const Text& center, const Text& scale, double eps,
                 const std::optional<Tensor>& valid) {
  const Rule rule = check_advantage(rewards, {tau, center, scale, eps, valid});
  return dense("advantage", rule, rewards, valid, std::nullopt);
}

Tensor advantage_varlen(const Tensor& given, const Tensor& given_offsets, int64_t max_group_size, double tau,
                        const Text& center, const Text& scale, double eps, const std::optional<Tensor>& given_valid) {
  const Rule rule =
      check_advantage_varlen(given, given_offsets, max_group_size, {tau, center, scale, eps, given_valid});
  const Tensor rewards = as_contiguous(given), offsets = as_contiguous(given_offsets);
  const Valid valid(given_valid);
  const Tensor result = empty_like(rewards);
  Call call = describe_call(rule, rewards, valid, result, std::nullopt);
  call.groups.offsets = offsets.data_ptr();
  call.groups.wide_offsets = offsets.scalar_type() == ScalarType::Long;
  call.groups.count = rewards.numel() == 0 ? 0 : offsets.size(0) - 1;
  call.groups.max_group_size = std::min(max_group_size, kMostInGroup);
  run("advantage_varlen", call, rewards);
  return result;
}

// rewards: [N], contiguous; `fill` enqueues the kernel that writes them, which may run while the ids are sorted.
// result, stats (or none): by row.
template <typename Fill>
void by_id(const char* op, const Rule& rule, const Tensor& rewards, const Tensor& group_ids,
           const std::optional<Tensor>& given_valid, const Tensor& result, const std::optional<Tensor>& stats,
           Fill fill) {
  const int64_t n = rewards.numel();
  if (n == 0) return;
  const Device device(rewards);
  const bool narrow = group_ids.scalar_type() == ScalarType::Int;
  const Tensor ids = as_type(group_ids, narrow ? ScalarType::Int : ScalarType::Long);
  const Valid valid(given_valid);
  Call call = describe_call(rule, rewards, valid, result, stats);
  call.groups.count = call.groups.max_group_size = n;  // at most
  call.out.stats_by_row = true;
  cuda::Workspace space = cuda::sort_ids_workspace(n);  // what follows lies behind it
  const std::size_t rows = space.take(n * sizeof(int32_t)), offsets = space.take((n + 1) * sizeof(int32_t));
  const std::size_t count = space.take(sizeof(int64_t));
  const Memory segments(op, space, rewards, device);
  const cuda::SegmentedRows sorted{segments.at<int32_t>(rows), segments.at<int32_t>(offsets),
                                   segments.at<int64_t>(count)};
  call.groups.rows = sorted.rows;
  call.groups.offsets = sorted.offsets;
  call.groups.device_count = sorted.count;
  const Memory scoring(op, cuda::advantage_workspace(call), rewards, device);
  check_launch(op, cuda::launch_sort_ids({ids.data_ptr(), !narrow}, n, sorted, segments.at(0), device.stream));
  check_launch(op, fill(device.stream));
  check_launch(op, cuda::launch_advantage(call, scoring.at(0), device.stream));
}

inline constexpr auto kFilled = [](cudaStream_t) { return cudaSuccess; };  // the rewards are there

Tensor advantage_by_id(const Tensor& given, const Tensor& group_ids, double tau, const Text& center, const Text& scale,
                       double eps, const std::optional<Tensor>& valid) {
  const Rule rule = check_advantage_by_id(given, group_ids, {tau, center, scale, eps, valid});
  const Tensor rewards = as_contiguous(given);
  const Tensor result = empty_like(rewards);
  by_id("advantage_by_id", rule, rewards, group_ids, valid, result, std::nullopt, kFilled);
  return result;
}

std::tuple<Tensor, Tensor> advantage_stats(const Tensor& given, const std::optional<Tensor>& group_ids, double tau,
                                           const Text& center, const Text& scale, double eps,
                                           const std::optional<Tensor>& valid) {
  constexpr const char* op = "advantage_stats";
  const Rule rule = check_advantage_stats(given, group_ids, {tau, center, scale, eps, valid});
  const Tensor stats = torch::stable::new_empty(given, stats_shape(given, group_ids.has_value()));
  if (!group_ids) return {dense(op, rule, given, valid, stats), stats};
  const Tensor rewards = as_contiguous(given);
  const Tensor result = empty_like(rewards);
  by_id(op, rule, rewards, *group_ids, valid, result, stats, kFilled);
  return {result, stats};
}

Tensor token_advantage(const Tensor& given, const Tensor& given_mask, const Tensor& group_ids, double tau,
                       const Text& center, const Text& scale, double eps, const std::optional<Tensor>& valid) {
  constexpr const char* op = "token_advantage";
  const Rule rule = check_token_advantage(given, given_mask, group_ids, {tau, center, scale, eps, valid});
  const Tensor tokens = as_rows(given);
  const Tensor result = torch::stable::new_empty(tokens, sizes_of(tokens));
  const int64_t rows = tokens.size(0), length = tokens.size(1);
  if (rows == 0 || length == 0) return result;
  const Device device(tokens);
  const HeldMask mask = prepare_mask(given_mask);
  const Element element = element_of(tokens.scalar_type());
  const std::vector<int64_t> by_row{rows};
  const Tensor sums = torch::stable::new_empty(tokens, by_row, precision_of(tokens));
  const Tensor scores = torch::stable::new_empty(tokens, by_row, precision_of(tokens));
  by_id(op, rule, sums, group_ids, valid, scores, std::nullopt, [&](cudaStream_t stream) {
    return cuda::launch_row_sums(tokens.data_ptr(), tokens.strides()[0], element, rows, length, sums.data_ptr(),
                                 stream);
  });
  check_launch(op, cuda::launch_token_broadcast(scores.data_ptr(), mask.get(), rows, length, result.data_ptr(), element,
                                                device.stream));
  return result;
}

}  // namespace
}  // namespace gapo::op

// If GAPO_BACKEND names another backend for CUDA tensors, this library is not loaded: see gapo_kernels/backends.py.
STABLE_TORCH_LIBRARY_IMPL(gapo, CUDA, m) {
  m.impl("advantage", TORCH_BOX(&gapo::op::advantage));
  m.impl("advantage_varlen", TORCH_BOX(&gapo::op::advantage_varlen));
  m.impl("advantage_by_id", TORCH_BOX(&gapo::op::advantage_by_id));
  m.impl("advantage_stats", TORCH_BOX(&gapo::op::advantage_stats));
  m.impl("token_advantage", TORCH_BOX(&gapo::op::token_advantage));
}
