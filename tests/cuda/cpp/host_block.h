// csrc/cuda/block.h on the CPU: a block is one of the CPU's threads, and the threads of each of its phases run one
// after the other. Blocks that share a group run side by side and meet by way of a counter, as on the GPU.
//
// The order of the threads is chosen: a phase in which one thread reads what another writes gives different results.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <vector>

#include "cuda/thread.h"
#include "samples.h"

namespace gapo::cuda {
namespace {

template <typename V>
V atomic_add(V* place, V value) {
  return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}
template <typename V>
V atomic_claim(V* place, V expected, V value) {
  __atomic_compare_exchange_n(place, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <typename V>
V atomic_peek(const V* place) {
  return __atomic_load_n(place, __ATOMIC_RELAXED);
}
template <typename V>
void atomic_lower(V* place, V value) {
  V old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (value < old && !__atomic_compare_exchange_n(place, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}
template <typename V>
void atomic_raise(V* place, V value) {
  V old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (value > old && !__atomic_compare_exchange_n(place, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

enum class ThreadOrder { kForward, kBackward, kShuffled };

template <int kThreads_, uint32_t kTile_ = 16 * kThreads_>
struct HostBlock {
  static constexpr int kThreads = kThreads_;
  static constexpr uint32_t kTile = kTile_;

  HostBlock(ThreadOrder order, uint64_t seed) : order_(kThreads) {
    std::iota(order_.begin(), order_.end(), 0);
    if (order == ThreadOrder::kBackward) std::reverse(order_.begin(), order_.end());
    if (order == ThreadOrder::kShuffled) shuffle(order_, seed);
  }

  template <typename Body>
  void each(Body body) {
    for (int thread : order_) body(thread);
  }

  // In the device's order: each warp's lanes, then the warps.
  template <typename Produce, typename Combine>
  auto reduce(Produce produce, Combine combine) {
    using V = decltype(produce(0));
    std::vector<V> values(kThreads), warps;
    each([&](int thread) { values[thread] = produce(thread); });
    for (auto lanes = values.begin(); lanes != values.end(); lanes += kWarp) {
      warps.push_back(in_halves(std::vector<V>(lanes, lanes + kWarp), combine));
    }
    return in_halves(warps, combine);
  }

  template <typename V, typename Value, typename Combine>
  V gather(uint32_t count, V none, Value value, Combine combine) const {
    std::vector<V> values(kWarp, none);
    for (uint32_t i = 0; i < count; ++i) values[i % kWarp] = combine(values[i % kWarp], value(i));
    return in_halves(values, combine);
  }

  template <typename Count, typename Place>
  uint32_t scan(Count count_of, Place place) {
    std::vector<uint32_t> before(kThreads);
    each([&](int thread) { before[thread] = count_of(thread); });
    const uint32_t total = std::accumulate(before.begin(), before.end(), uint32_t{0});
    std::exclusive_scan(before.begin(), before.end(), before.begin(), uint32_t{0});
    each([&](int thread) { place(thread, before[thread]); });
    return total;
  }

  void start_meeting() {
    if (count == 1) return;
    const std::atomic_ref<uint32_t> arrived(*arrivals);
    arrived.fetch_add(1);
    arrived.notify_all();
  }
  void finish_meeting() {
    if (count == 1) return;
    expected += static_cast<uint32_t>(count);
    const std::atomic_ref<uint32_t> arrived(*arrivals);
    for (uint32_t seen = arrived.load(); seen < expected; seen = arrived.load()) arrived.wait(seen);
  }
  void meet() {
    start_meeting();
    finish_meeting();
  }

  int rank = 0, count = 1;
  bool is_cluster = false;  // here they meet by the counter all the same
  uint32_t* arrivals = nullptr;
  uint32_t expected = 0;

 private:
  template <typename V, typename Combine>
  static V in_halves(std::vector<V> values, Combine combine) {
    for (std::size_t half = values.size() / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) values[i] = combine(values[i], values[i + half]);
    }
    return values[0];
  }

  std::vector<int> order_;
};

}  // namespace
}  // namespace gapo::cuda
