// Where runs of equal numbers begin: tile by tile counted, summed up and written.
#pragma once

#include "cuda/block.h"
#include "host_device.h"

namespace gapo::cuda {
namespace {

inline constexpr int kNumbersPerThread = 8;

struct Numbers {
  const uint32_t* sorted;  // [size]
  int64_t size;

  // Calls visit(position) for the thread's neighbours at which a segment begins.
  template <int kThreads, typename Visit>
  GAPO_DEVICE void each_head(int64_t tile, int thread, Visit visit) const {
    const int64_t first = (tile * kThreads + thread) * kNumbersPerThread;
    for (int64_t i = first; i < first + kNumbersPerThread && i < size; ++i) {
      if (i == 0 || sorted[i] != sorted[i - 1]) visit(static_cast<int32_t>(i));
    }
  }
};

template <typename Block>
GAPO_DEVICE void count_heads(Block& block, const Numbers& numbers, int64_t tile, uint32_t* counts) {
  const uint32_t count = block.reduce(
      [&](int thread) {
        uint32_t own = 0;
        numbers.template each_head<Block::kThreads>(tile, thread, [&](int32_t) { ++own; });
        return own;
      },
      [](uint32_t a, uint32_t b) { return a + b; });
  block.each([&](int thread) {
    if (thread == 0) counts[tile] = count;
  });
}

// Each count becomes the sum of those before it; returns the sum of all.
template <typename Block>
GAPO_DEVICE uint32_t sum_up(Block& block, uint32_t* counts, int64_t tiles) {
  const int64_t run = (tiles + Block::kThreads - 1) / Block::kThreads;
  const auto own_counts = [&](int thread, auto visit) {
    for (int64_t i = thread * run; i < (thread + 1) * run && i < tiles; ++i) visit(counts[i]);
  };
  return block.scan(
      [&](int thread) {
        uint32_t own = 0;
        own_counts(thread, [&](uint32_t& count) { own += count; });
        return own;
      },
      [&](int thread, uint32_t before) {
        own_counts(thread, [&](uint32_t& count) {
          const uint32_t own = count;
          count = before;
          before += own;
        });
      });
}

// before: heads in earlier tiles.
template <typename Block>
GAPO_DEVICE void write_heads(Block& block, const Numbers& numbers, int64_t tile, uint32_t before, int32_t* offsets) {
  block.scan(
      [&](int thread) {
        uint32_t own = 0;
        numbers.template each_head<Block::kThreads>(tile, thread, [&](int32_t) { ++own; });
        return own;
      },
      [&](int thread, uint32_t place) {
        numbers.template each_head<Block::kThreads>(tile, thread,
                                                    [&](int32_t position) { offsets[before + place++] = position; });
      });
}

}  // namespace
}  // namespace gapo::cuda
