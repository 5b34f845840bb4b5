// One group above kLargestSorted and the memory that the blocks which share it exchange their findings in.
//
// A group is cut in tiles of Block::kTile positions. A sum is taken tile by tile and then over the tiles, so that
// it depends on the group alone, however many blocks share it.
#pragma once

#include <limits>

#include "cuda/global_pointer.h"
#include "cuda/key.h"
#include "cuda/statistics.h"

namespace gapo::cuda {
namespace {

// What is summed over a group; each sum has a place of its own, since another block may still read an earlier one's.
enum SumKind { kMeanSum, kWindowSum, kSquares, kSumKinds };

// Extremes and number of valid rewards. The usual NaN's key is above infinity's, so that `high` tells of one.
template <typename T>
struct Range {
  KeyOf<T> low, high;
  uint32_t count;

  GAPO_DEVICE static Range none() { return {kLargestKey<KeyOf<T>>, 0, 0}; }
  GAPO_DEVICE void include(KeyOf<T> least, KeyOf<T> greatest, uint32_t number) {
    low = least < low ? least : low;
    high = greatest > high ? greatest : high;
    count += number;
  }
  GAPO_DEVICE bool has_nan() const { return high > to_key(static_cast<T>(kInfinity)); }
};

template <typename T>
GAPO_DEVICE Range<T> join(Range<T> a, const Range<T>& b) {
  a.include(b.low, b.high, b.count);
  return a;
}

// The blocks' exchange, in global memory. `tiles` and `size` are the group's; what is not said to start at 0 is written
// before it is read.
template <typename T>
struct Exchange {
  GlobalPointer<Range<T>> ranges;       // [blocks]
  GlobalPointer<Window> windows;        // [blocks]
  GlobalPointer<double> sums;           // [kSumKinds, tiles]
  GlobalPointer<uint32_t> bin_count;    // [bins], starts at 0
  GlobalPointer<KeyOf<T>> bin_low;      // [bins], starts at the largest key
  GlobalPointer<KeyOf<T>> bin_high;     // [bins], starts at 0
  GlobalPointer<uint32_t> digits;       // [kDeviationCounters], starts at 0
  GlobalPointer<uint32_t> tile_digits;  // [kDigits, tiles]
  GlobalPointer<KeyOf<T>> keys;         // [size]
  GlobalPointer<KeyOf<T>> sorted;       // [size]

  GAPO_DEVICE Range<T> bin(uint32_t number) const { return {bin_low[number], bin_high[number], bin_count[number]}; }
};

// Stands where there is no valid reward: a NaN that no reward is, since theirs are all read as the usual one.
template <typename T>
GAPO_DEVICE T no_reward() {
  const KeyOf<T> bits = kLargestKey<KeyOf<T>>;
  T value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
template <typename T>
GAPO_DEVICE bool is_reward(T value) {
  KeyOf<T> bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits != kLargestKey<KeyOf<T>>;
}
// What is no reward comes last.
template <typename T>
GAPO_DEVICE KeyOf<T> key_or_last(T value) {
  return is_reward(value) ? to_key(value) : kLargestKey<KeyOf<T>>;
}

// In the block's own memory: needed everywhere, and too much to keep in registers.
struct Place {
  int64_t number, begin;
  uint32_t size;  // positions, those of rows that are not valid included; below 2^31
};

// A tile, its first position, and where its rewards are if the block holds them in its own memory.
template <typename T>
struct Tile {
  uint32_t number, first;
  bool is_held;
  T* held;
};

template <typename T>
struct LargeGroup {
  const Call& call;
  const Place& place;
  T* held;  // [held_tiles, Block::kTile]: the first of the block's tiles, once hold() has read them
  uint32_t held_tiles;

  static constexpr int kBatch = 4;

  GAPO_DEVICE uint32_t size() const { return place.size; }

  template <typename Block>
  GAPO_DEVICE uint32_t tiles() const {
    return divide_up(size(), Block::kTile);
  }

  // The rewards at positions first, first + stride and so on; no_reward where there is none.
  template <int kCount>
  GAPO_DEVICE void read(uint32_t first, uint32_t stride, T* values) const {
    with_element<T>(call.element, [&](auto* null) {
      read_elements<std::remove_pointer_t<decltype(null)>, kCount>(first, stride, values);
    });
  }
  template <typename E, int kCount>
  GAPO_DEVICE void read_elements(uint32_t first, uint32_t stride, T* values) const {
    const RowBatch<E, kCount> batch(call.groups, place.begin, size(), [=](int j) { return first + j * stride; });
#pragma unroll
    for (int j = 0; j < kCount; ++j) values[j] = kept(to_compute(batch.reward[j]), batch.is_member[j]);
  }
  GAPO_DEVICE T read(uint32_t position) const {
    T value;
    read<1>(position, 0, &value);
    return value;
  }

  // Calls body(tile) for the tiles of this block.
  template <typename Block, typename Body>
  GAPO_DEVICE void each_tile(const Block& block, Body body) const {
    uint32_t turn = 0;
#pragma unroll 1
    for (uint32_t number = block.rank; number < tiles<Block>(); number += block.count, ++turn) {
      body(Tile<T>{number, number * Block::kTile, turn < held_tiles, held + turn * Block::kTile});
    }
  }

  // Calls visit(position, values) for the thread's places of a tile, always in the same order, kBatch at a time: they
  // lie Block::kThreads apart from that position on. values: the rewards there, or no_reward; that is also what comes
  // with the few positions behind the group's end that are visited.
  template <typename Block, typename Visit>
  GAPO_DEVICE void visit_batches(const Tile<T>& tile, int thread, Visit visit) const {
    constexpr uint32_t kThreads = Block::kThreads;
    static_assert(Block::kTile % (kBatch * kThreads) == 0);
    const uint32_t left = size() - tile.first, end = left < Block::kTile ? left : Block::kTile;
#pragma unroll 1
    for (uint32_t from = thread; from < end; from += kBatch * kThreads) {
      T values[kBatch];
      if (tile.is_held) {
#pragma unroll
        for (int j = 0; j < kBatch; ++j) values[j] = tile.held[from + j * kThreads];
      } else {
        read<kBatch>(tile.first + from, kThreads, values);
      }
      visit(tile.first + from, values);
    }
  }

  // Calls visit(reward) for the thread's valid rewards of a tile.
  template <typename Block, typename Visit>
  GAPO_DEVICE void visit_tile(const Tile<T>& tile, int thread, Visit visit) const {
    visit_batches<Block>(tile, thread, [&](uint32_t, const T* values) {
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        if (is_reward(values[j])) visit(values[j]);
      }
    });
  }

  // Calls visit(reward) for all of this block's rewards, thread by thread.
  template <typename Block, typename Visit>
  GAPO_DEVICE void each_reward(Block& block, Visit visit) const {
    block.each(
        [&](int thread) { each_tile(block, [&](const Tile<T>& tile) { visit_tile<Block>(tile, thread, visit); }); });
  }
  // The same kBatch at a time, among them no_reward: visit(values).
  template <typename Block, typename Visit>
  GAPO_DEVICE void each_batch(Block& block, Visit visit) const {
    block.each([&](int thread) {
      each_tile(block, [&](const Tile<T>& tile) {
        visit_batches<Block>(tile, thread, [&](uint32_t, const T* values) { visit(values); });
      });
    });
  }

  // A reward as read() has it.
  GAPO_DEVICE static T kept(T reward, bool is_member) {
    const T usual = reward == reward ? reward : std::numeric_limits<T>::quiet_NaN();
    return is_member ? usual : no_reward<T>();
  }

  // Whether the rewards can be read four neighbours at a time, and the advantages be written so.
  template <typename E>
  GAPO_DEVICE bool in_chunks() const {
    return lies_in_chunks<E>(call, {place.begin, int64_t{size()}, 0});
  }

  // Four neighbours each at positions first, first + stride and so on, as read() has them. All are requested before the
  // first is waited for.
  template <typename E, int kCount>
  GAPO_DEVICE void read_chunks(uint32_t first, uint32_t stride, Chunk<T, kChunk>* values) const {
    const E* const rewards = static_cast<const E*>(call.groups.rewards) + place.begin;
    Chunk<E, kChunk> reward[kCount];
    bool exists[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const uint32_t position = first + j * stride;
      exists[j] = position < size();
      reward[j] = {};
      if (exists[j]) reward[j] = *reinterpret_cast<const Chunk<E, kChunk>*>(rewards + position);
    }
    const auto keep = [&](auto is_member) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) values[j].value[i] = kept(to_compute(reward[j].value[i]), is_member(j, i));
      }
    };
    if (call.groups.valid == nullptr) return keep([&](int j, int) { return exists[j]; });
    const bool* const valid = call.groups.valid + place.begin;
    Chunk<bool, kChunk> mask[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      mask[j] = {};
      if (exists[j]) mask[j] = *reinterpret_cast<const Chunk<bool, kChunk>*>(valid + (first + j * stride));
    }
    keep([&](int j, int i) { return mask[j].value[i]; });
  }

  // Reads the tiles that the block holds.
  template <typename Block>
  GAPO_DEVICE void hold(Block& block) const {
    block.each([&](int thread) {
      with_element<T>(call.element, [&](auto* null) {
        using E = std::remove_pointer_t<decltype(null)>;
        const bool whole = in_chunks<E>();
        each_tile(block, [&](const Tile<T>& tile) {
          if (!tile.is_held) return;
          if (whole) {
            hold_chunks<E, Block>(tile, thread);
          } else {
            hold_singly<E, Block>(tile, thread);
          }
        });
      });
    });
  }
  template <typename E, typename Block>
  GAPO_DEVICE void hold_chunks(const Tile<T>& tile, int thread) const {
    constexpr int batch = sizeof(T) == sizeof(double) ? 2 : 4, kThreads = Block::kThreads;
    static_assert(Block::kTile % (batch * kChunk * kThreads) == 0);
#pragma unroll 1
    for (uint32_t from = thread * kChunk; from < Block::kTile; from += batch * kChunk * kThreads) {
      Chunk<T, kChunk> values[batch];
      read_chunks<E, batch>(tile.first + from, kChunk * kThreads, values);
#pragma unroll
      for (int j = 0; j < batch; ++j) {
        *reinterpret_cast<Chunk<T, kChunk>*>(tile.held + from + j * kChunk * kThreads) = values[j];
      }
    }
  }
  template <typename E, typename Block>
  GAPO_DEVICE void hold_singly(const Tile<T>& tile, int thread) const {
    constexpr int batch = 8, kThreads = Block::kThreads;
    static_assert(Block::kTile % (batch * kThreads) == 0);
#pragma unroll 1
    for (uint32_t from = thread; from < Block::kTile; from += batch * kThreads) {
      T values[batch];
      read_elements<E, batch>(tile.first + from, kThreads, values);
#pragma unroll
      for (int j = 0; j < batch; ++j) tile.held[from + j * kThreads] = values[j];
    }
  }

  // Extremes and number of all rewards.
  template <typename Block>
  GAPO_DEVICE Range<T> find_range(Block& block, const Exchange<T>& exchange) const {
    const Range<T> own = block.reduce(
        [&](int thread) {
          Range<T> range = Range<T>::none();
          each_tile(block, [&](const Tile<T>& tile) {
            visit_tile<Block>(tile, thread, [&](T reward) {
              const KeyOf<T> key = to_key(reward);
              range.include(key, key, 1);
            });
          });
          return range;
        },
        join<T>);
    block.each([&](int thread) {
      if (thread == 0) exchange.ranges[block.rank] = own;
    });
    block.meet();
    return block.gather(block.count, Range<T>::none(), [&](uint32_t i) { return exchange.ranges[i]; }, join<T>);
  }

  // The sum of term(reward) over the group.
  template <typename Block, typename Term>
  GAPO_DEVICE double sum(Block& block, const Exchange<T>& exchange, SumKind kind, Term term) const {
    double* const sums = exchange.sums + static_cast<uint64_t>(kind) * tiles<Block>();
    const auto plus = [](double a, double b) { return a + b; };
    each_tile(block, [&](const Tile<T>& tile) {
      const double partial = block.reduce(
          [&](int thread) {
            double own = 0.0;
            visit_tile<Block>(tile, thread, [&](T reward) { own += term(static_cast<double>(reward)); });
            return own;
          },
          plus);
      block.each([&](int thread) {
        if (thread == 0) sums[tile.number] = partial;
      });
    });
    block.meet();
    return block.gather(tiles<Block>(), 0.0, [=](uint32_t tile) { return sums[tile]; }, plus);
  }
};

}  // namespace
}  // namespace gapo::cuda
