// One thread per group: 16-byte loads, a sorting network in registers, the sorted rewards in a column of shared memory.
#include "cuda/group.h"
#include "cuda/kernel.h"

namespace gapo::cuda {
namespace {

template <bool kPlain, typename T, int kClass>
__global__ void GAPO_BOUNDS(T, kClass) thread_groups(const __grid_constant__ Call call) {
  follow_stream();
  constexpr SizeClass shape = kSizeClasses[kClass];
  using OneThread = Team<T, Thread, 1, shape.rewards, shape.threads>;
  __shared__ T memory[OneThread::kMemory];
  const OneThread team(memory, nullptr);
  const int64_t g = int64_t{blockIdx.x} * shape.threads + threadIdx.x;
  if (g >= call.groups.count) return;
  const Slice slice = slice_of(call, g);
  if (slice.size > shape.capacity()) return refuse_group<T>(team, call, g, slice);
  group_advantage<kPlain, T>(team, call, g, slice);
}

}  // namespace

cudaError_t launch_thread_groups(const Call& call, int size_class, cudaStream_t stream) {
  return launch_class<Tier::kThread>(call, size_class, stream, [](auto plain, auto zero, auto chosen) {
    return thread_groups<decltype(plain)::value, decltype(zero), decltype(chosen)::value>;
  });
}

}  // namespace gapo::cuda
