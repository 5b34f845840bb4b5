// The threads that share a group, and the memory in which they lay out its sorted rewards.
#pragma once

#include <cstdint>

#include "cuda/thread.h"
#include "cuda/tiers.h"
#include "host_device.h"

namespace gapo::cuda {

// kLanes threads of a block of kThreads, each with kRewards values of a group; powers of two. Where a team is of
// several lanes, but smaller than a warp, the warp's teams go through the same calls together: no branch on what a
// group holds may enclose one.
template <typename T, typename Thread_, int kLanes_, int kRewards_, int kThreads_>
struct Team {
  using Thread = Thread_;
  static constexpr int kLanes = kLanes_;
  static constexpr int kRewards = kRewards_;
  static constexpr int kThreads = kThreads_;
  static constexpr int kCapacity = kLanes * kRewards;
  static constexpr bool kOneWarp = kLanes <= kWarp;

  static constexpr int kTurn = turn_of_values(kLanes, kRewards, sizeof(T));
  static constexpr int kRow = kLanes == 1 ? 1 : row_of_values(kLanes, kRewards, sizeof(T));
  // What the block brings: values for the ranks of all its teams, and float64 for sums of teams larger than a warp.
  static constexpr int kMemory = kLanes == 1 ? kThreads * kRewards : kThreads / kLanes * kRow;
  static constexpr int kScratch = scratch_doubles(kLanes);

  GAPO_DEVICE Team(T* block_memory, double* block_scratch, int thread = Thread::index())
      : memory(block_memory + thread / kLanes * kRow), scratch(block_scratch), lane(thread % kLanes) {}

  // The value at a rank, once every lane has put its own there and the team is in step.
  GAPO_DEVICE T at(int rank) const { return memory[slot(rank)]; }
  // The values at rank + p * kLanes. For a constant p a place is one of kFew, plus a constant.
  struct Turns {
    static constexpr int kFew = kLanes > 1 && kTurn > kLanes ? kTurn / kLanes : 1;
    const T* places[kFew];
    GAPO_DEVICE T at(int p) const { return places[p % kFew][slot(p / kFew * kFew * kLanes)]; }
  };
  GAPO_DEVICE Turns in_turn(int rank) const {
    Turns turns;
#pragma unroll
    for (int p = 0; p < Turns::kFew; ++p) {
      const int place = slot(rank + p * kLanes);
      turns.places[p] = memory + (kLanes > 1 ? opaque(place) : place);  // else every use works it out again
    }
    return turns;
  }
  // A lane holds the ranks lane * kRewards and following; their places are apart by constants.
  GAPO_DEVICE void put_own(const T* values) const {
    static_assert(kTurn % kRewards == 0 || kRewards % kTurn == 0);
    T* const own = memory + slot(lane * kRewards);
#pragma unroll
    for (int p = 0; p < kRewards; ++p) own[slot(p)] = values[p];
  }

  GAPO_DEVICE static void sync() {
    if constexpr (!kOneWarp) {
      Thread::sync_block();
    } else if constexpr (kLanes > 1) {
      Thread::sync_warp();
    }
  }

  // Combines one V of every lane, in one order for all of them. combine(a, b) = combine(b, a); of at most 16 bytes.
  template <typename V, typename Combine>
  GAPO_DEVICE V reduce(V value, Combine combine) const {
#pragma unroll
    for (int mask = 1; mask < kLanes && mask < kWarp; mask *= 2) {
      value = combine(value, partner_of<Thread>(value, mask));
    }
    if constexpr (!kOneWarp) {
      V* const of_warp = reinterpret_cast<V*>(scratch);
      sync();  // someone may still read an earlier one
      if (lane % kWarp == 0) of_warp[lane / kWarp] = value;
      sync();
      value = of_warp[0];
      for (int warp = 1; warp < kLanes / kWarp; ++warp) value = combine(value, of_warp[warp]);
    }
    return value;
  }

  GAPO_DEVICE bool any(bool condition) const {
    if constexpr (kLanes == 1) {
      return condition;
    } else if constexpr (kOneWarp) {
      constexpr uint32_t team = kLanes == kWarp ? ~0u : (1u << kLanes) - 1;
      return (Thread::ballot(condition) >> (Thread::index() % kWarp / kLanes * kLanes) & team) != 0;
    } else {
      return reduce(static_cast<int>(Thread::ballot(condition) != 0), [](int a, int b) { return a | b; }) != 0;
    }
  }

  // A rank's place.
  GAPO_DEVICE static int slot(int rank) {
    return kLanes == 1 ? rank * kThreads : rank + static_cast<int>(static_cast<unsigned>(rank) / kTurn);
  }

  T* const memory;
  double* const scratch;
  const int lane;
};

}  // namespace gapo::cuda
