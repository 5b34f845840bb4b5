// A block of threads as the large groups' algorithms see it: phases that all its threads run, with a barrier after
// each.
//
// An algorithm is written once against these members; tests/cuda/cpp/host_block.h has the same ones for the CPU, where
// the threads of a phase run one after the other, in any order: a phase may not read what another thread of it writes.
//
//   each(body)              body(thread) for every thread
//   reduce(produce, combine)  all threads' produce(thread), combined in a fixed order; every thread gets the result
//   gather(count, none, value, combine)  value(0) to value(count - 1), which are in memory, combined in a fixed order;
//                           every thread gets the result, and none waits. none: what changes nothing
//   scan(count, place)      place(thread, sum of count(earlier thread)) for every thread; returns the sum of all
//   meet()                  waits for the other blocks that share the group; what was written before can be read after
//   start_meeting(), finish_meeting()  the same in two steps, with work between them that needs nothing of the others
//   rank, count             this block's number among those blocks, and how many they are
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/global_pointer.h"
#include "cuda/thread.h"
#include "host_device.h"

namespace gapo::cuda {
namespace {

#if defined(__CUDACC__)

// Integer atomics on shared or global memory, at the device's scope.
template <typename V>
__device__ __forceinline__ V atomic_add(V* place, V value) {
  return atomicAdd(place, value);
}
template <typename V>
__device__ __forceinline__ void atomic_lower(V* place, V value) {
  atomicMin(place, value);
}
template <typename V>
__device__ __forceinline__ void atomic_raise(V* place, V value) {
  atomicMax(place, value);
}
// Writes the value where `expected` still stands; returns what stood there.
template <typename V>
__device__ __forceinline__ V atomic_claim(V* place, V expected, V value) {
  return atomicCAS(place, expected, value);
}
// Reads what other threads may be changing at the same time.
template <typename V>
__device__ __forceinline__ V atomic_peek(const V* place) {
  return *static_cast<const volatile V*>(place);
}

// 32-bit words of any small type, through the warp's shuffles.
template <typename V, typename Exchange>
__device__ __forceinline__ V exchange_words(const V& value, Exchange exchange) {
  static_assert(sizeof(V) % 4 == 0);
  uint32_t words[sizeof(V) / 4];
  memcpy(words, &value, sizeof(V));
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(V) / 4); ++i) words[i] = exchange(words[i]);
  V result;
  memcpy(&result, words, sizeof(V));
  return result;
}

// Combines the values of kLanes neighbours, in halves; each of them gets the result.
template <int kLanes, typename V, typename Combine>
__device__ __forceinline__ V combine_lanes(V value, Combine combine) {
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) {
    value = combine(value, exchange_words(value, [mask](uint32_t word) { return Thread::partner(word, mask); }));
  }
  return value;
}

// The sum of the warp's values up to this lane's.
__device__ __forceinline__ uint32_t inclusive_sum(uint32_t value, int lane) {
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const uint32_t before = __shfl_up_sync(0xFFFFFFFFu, value, distance);
    if (lane >= distance) value += before;
  }
  return value;
}

// Orders memory between blocks: what this block wrote up to its last barrier, and what it has seen of others, is
// visible to every block that reads what it writes afterwards. __threadfence would also put all such fences into one
// order, which is not needed and takes longer.
__device__ __forceinline__ void fence_between_blocks() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

// The barrier of a cluster's blocks, in two steps that every thread takes: what any of them wrote before the first can
// be read by all after the second. Such launches exist where the code is for sm_90 or later.
__device__ __forceinline__ void arrive_at_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// Lies in shared memory: every member is the same for all threads, and rarely used.
template <int kThreads_>
struct DeviceBlock {
  static constexpr int kThreads = kThreads_;
  static constexpr int kWarps = kThreads / kWarp;
  static_assert(kWarps <= kWarp && (kWarps & (kWarps - 1)) == 0);  // one for each lane, or for several
  static constexpr int kLargestReduced = 32;                       // bytes

  int rank, count;
  bool is_cluster;                   // the blocks that meet, and so all of the launch's
  GlobalPointer<uint32_t> arrivals;  // otherwise: one for the blocks that meet, 0 at the launch
  uint32_t expected;                 // arrivals at the last meeting
  alignas(8) unsigned char scratch[kWarps * kLargestReduced];

  template <typename Body>
  __device__ __forceinline__ void each(Body body) {
    body(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  template <typename Produce, typename Combine>
  __device__ __forceinline__ auto reduce(Produce produce, Combine combine) {
    auto value = produce(static_cast<int>(threadIdx.x));
    using V = decltype(value);
    static_assert(sizeof(V) <= kLargestReduced);
    value = combine_lanes<kWarp>(value, combine);
    V* const warps = reinterpret_cast<V*>(scratch);
    if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = combine_lanes<kWarps>(warps[threadIdx.x % kWarps], combine);
    __syncthreads();
    return value;
  }

  // Every warp for itself.
  template <typename V, typename Value, typename Combine>
  __device__ __forceinline__ V gather(uint32_t count, V none, Value value, Combine combine) const {
    V own = none;
    for (uint32_t i = threadIdx.x % kWarp; i < count; i += kWarp) own = combine(own, value(i));
    return combine_lanes<kWarp>(own, combine);
  }

  template <typename Count, typename Place>
  __device__ __forceinline__ uint32_t scan(Count count_of, Place place) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
    const uint32_t own = count_of(thread);
    const uint32_t sum = inclusive_sum(own, lane);
    uint32_t* const warps = reinterpret_cast<uint32_t*>(scratch);
    if (lane == kWarp - 1) warps[warp] = sum;
    __syncthreads();
    const uint32_t through = inclusive_sum(lane < kWarps ? warps[lane] : 0, lane);  // the lane's warp, of all threads
    const uint32_t before = Thread::from(through, warp) - warps[warp];
    place(thread, before + sum - own);
    __syncthreads();
    return Thread::from(through, kWarps - 1);
  }

  // Blocks that are no cluster have a counter that only grows: their n-th meeting is complete at n * count. Either way
  // all of them run at once: the launch is cooperative, or the device starts a cluster's blocks together.
  __device__ __forceinline__ void start_meeting() {
    if (is_cluster) return arrive_at_cluster();
    __syncthreads();
    if (threadIdx.x == 0 && count > 1) {
      fence_between_blocks();
      atomic_add<uint32_t>(arrivals, 1u);
    }
  }
  __device__ __forceinline__ void finish_meeting() {
    if (is_cluster) return wait_for_cluster();
    if (threadIdx.x == 0 && count > 1) {
      expected += static_cast<uint32_t>(count);
      while (atomic_peek<uint32_t>(arrivals) < expected) {
      }
      fence_between_blocks();
    }
    __syncthreads();
  }
  __device__ __forceinline__ void meet() {
    start_meeting();
    finish_meeting();
  }
};

#endif

}  // namespace
}  // namespace gapo::cuda
