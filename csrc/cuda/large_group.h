// One group above kLargestSorted and the memory that the blocks which share it exchange their findings in.
//
// A group is cut in tiles of a fixed number of positions. A sum is taken tile by tile and then over the tiles, so that
// it depends on the group alone, however many blocks share it.
#pragma once

#include "cuda/key.h"
#include "cuda/statistics.h"

namespace gapo::cuda {
namespace {

inline constexpr int kRewardsPerThread = 16;  // of a tile

template <int kThreads>
inline constexpr uint32_t kTile = uint32_t{kThreads} * kRewardsPerThread;

GAPO_HD constexpr int64_t tile_count(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

// What is summed over a group; each sum has a place of its own, since another block may still read an earlier one's.
enum SumKind { kMeanSum, kWindowSum, kSquares, kSumKinds };

// The blocks' exchange, in global memory. `tiles` and `size` are the group's; what is not said to start at 0 is written
// before it is read.
template <typename T>
struct Exchange {
  struct Range {
    KeyOf<T> low, high;
    uint32_t count, nans;  // of valid rewards; of NaNs among them
  };

  Range* ranges;          // [blocks]
  Window* windows;        // [blocks]
  double* sums;           // [kSumKinds, tiles]
  uint32_t* bin_count;    // [bins], starts at 0
  KeyOf<T>* bin_low;      // [bins], starts at the largest key
  KeyOf<T>* bin_high;     // [bins], starts at 0
  uint32_t* bin_filled;   // [bins], starts at 0
  uint32_t* digits;       // [kDeviationCounters], starts at 0
  uint32_t* tile_digits;  // [16, tiles]
  KeyOf<T>* keys;         // [size]
  KeyOf<T>* sorted;       // [size]
};

inline constexpr uint32_t kNoRank = ~uint32_t{0};

// In the block's own memory: needed everywhere, and too much to keep in registers.
struct Place {
  int64_t number, begin;
  uint32_t size;  // positions, those of rows that are not valid included; below 2^31
};

template <typename T>
struct LargeGroup {
  const Call& call;
  const Place& place;

  GAPO_DEVICE uint32_t size() const { return place.size; }

  GAPO_DEVICE int64_t row(uint32_t position) const { return row_of(call.groups, place.begin + position); }

  template <int kThreads>
  GAPO_DEVICE uint32_t tiles() const {
    return (size() + kTile<kThreads> - 1) / kTile<kThreads>;
  }

  // A reward if the position holds a valid one.
  GAPO_DEVICE bool load(uint32_t position, T& value) const {
    const int64_t at = row(position);
    if (call.groups.valid != nullptr && !call.groups.valid[at]) return false;
    with_element<T>(call.element, [&](auto* null) {
      using E = std::remove_pointer_t<decltype(null)>;
      value = to_compute(static_cast<const E*>(call.groups.rewards)[at]);
    });
    return true;
  }

  // Calls visit(reward) for the thread's valid rewards of a tile, always in the same order. Loads are issued together.
  template <int kThreads, typename Visit>
  GAPO_DEVICE void visit_tile(uint32_t tile, int thread, Visit visit) const {
    constexpr int batch = 4;
    const uint32_t first = tile * kTile<kThreads> + thread;
#pragma unroll 1
    for (uint32_t from = first; from < first + kTile<kThreads> && from < size(); from += batch * kThreads) {
      T values[batch];
      uint32_t held = 0;
      with_element<T>(call.element, [&](auto* null) {
        using E = std::remove_pointer_t<decltype(null)>;
        const E* const rewards = static_cast<const E*>(call.groups.rewards);
#pragma unroll
        for (int j = 0; j < batch; ++j) {
          const uint32_t position = from + j * kThreads;
          values[j] = T{};
          if (position >= size()) continue;
          const int64_t at = row(position);
          if (call.groups.valid != nullptr && !call.groups.valid[at]) continue;
          values[j] = to_compute(rewards[at]);
          held |= 1u << j;
        }
      });
#pragma unroll
      for (int j = 0; j < batch; ++j) {
        if ((held >> j) & 1) visit(values[j]);
      }
    }
  }

  // Calls body(tile) for the tiles of this block.
  template <typename Block, typename Body>
  GAPO_DEVICE void each_tile(const Block& block, Body body) const {
#pragma unroll 1
    for (uint32_t tile = block.rank; tile < tiles<Block::kThreads>(); tile += block.count) body(tile);
  }

  // Calls visit(reward) for all of this block's rewards, thread by thread.
  template <typename Block, typename Visit>
  GAPO_DEVICE void each_reward(Block& block, Visit visit) const {
    block.each([&](int thread) {
      each_tile(block, [&](uint32_t tile) { visit_tile<Block::kThreads>(tile, thread, visit); });
    });
  }

  // The sum of term(reward) over the group.
  template <typename Block, typename Term>
  GAPO_DEVICE double sum(Block& block, const Exchange<T>& exchange, SumKind kind, Term term) const {
    double* const sums = exchange.sums + static_cast<uint64_t>(kind) * tiles<Block::kThreads>();
    const auto plus = [](double a, double b) { return a + b; };
    each_tile(block, [&](uint32_t tile) {
      const double partial = block.reduce(
          [&](int thread) {
            double own = 0.0;
            visit_tile<Block::kThreads>(tile, thread, [&](T reward) { own += term(static_cast<double>(reward)); });
            return own;
          },
          plus);
      block.each([&](int thread) {
        if (thread == 0) sums[tile] = partial;
      });
    });
    block.meet();
    return block.reduce(
        [&](int thread) {
          double own = 0.0;
          for (uint32_t tile = thread; tile < tiles<Block::kThreads>(); tile += Block::kThreads) own += sums[tile];
          return own;
        },
        plus);
  }
};

}  // namespace
}  // namespace gapo::cuda
