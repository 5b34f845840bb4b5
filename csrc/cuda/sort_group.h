// A full sort of one group, for rewards that bins do not tell apart: a stable radix sort of their keys, four bits a
// pass, by all blocks that share the group.
#pragma once

#include "cuda/block.h"
#include "cuda/large_group.h"

namespace gapo::cuda {
namespace {

inline constexpr int kDigitBits = 4;
inline constexpr int kDigits = 1 << kDigitBits;

// In the block's own memory.
template <int kThreads>
struct DigitTable {
  uint32_t base[kDigits];             // where the tile's keys of a digit go, less where they begin within the tile
  uint16_t count[kDigits][kThreads];  // each thread's own keys, then how many of the tile's keys come before them
};

// Calls visit(key) for the keys that a thread has of a tile: neighbours, so that the order is kept. A position without
// a valid reward has the largest key and comes last.
template <typename Block, typename T, typename Visit>
GAPO_DEVICE void visit_keys(const LargeGroup<T>& group, const KeyOf<T>* from, uint32_t tile, int thread, Visit visit) {
  constexpr uint32_t own = Block::kTile / Block::kThreads;
  const uint32_t first = tile * Block::kTile + static_cast<uint32_t>(thread) * own;
#pragma unroll 1
  for (uint32_t position = first; position < first + own && position < group.size(); ++position) {
    if (from != nullptr) {
      visit(from[position]);
    } else {
      visit(key_or_last(group.read(position)));
    }
  }
}

// Counts a tile's digits; afterwards count[d][t] is the number of the tile's keys before thread t's first of digit d.
template <typename T, typename Block>
GAPO_DEVICE void count_digits(Block& block, const LargeGroup<T>& group, const KeyOf<T>* from, uint32_t tile, int shift,
                              DigitTable<Block::kThreads>& table) {
  block.each([&](int thread) {
    for (int digit = 0; digit < kDigits; ++digit) table.count[digit][thread] = 0;
    visit_keys<Block>(group, from, tile, thread,
                      [&](KeyOf<T> key) { ++table.count[(key >> shift) % kDigits][thread]; });
  });
  uint16_t* const linear = &table.count[0][0];  // digit by digit, in each thread by thread
  block.scan(
      [&](int thread) {
        uint32_t own = 0;
#pragma unroll 4
        for (int i = 0; i < kDigits; ++i) own += linear[thread * kDigits + i];
        return own;
      },
      [&](int thread, uint32_t before) {
#pragma unroll 4
        for (int i = 0; i < kDigits; ++i) {
          const uint16_t own = linear[thread * kDigits + i];
          linear[thread * kDigits + i] = static_cast<uint16_t>(before);
          before += own;
        }
      });
}

// Sorts the group's keys; returns where they lie: exchange.sorted or exchange.keys, valid ones first.
template <typename T, typename Block>
GAPO_DEVICE const KeyOf<T>* sort_group(Block& block, const LargeGroup<T>& group, const Exchange<T>& exchange,
                                       DigitTable<Block::kThreads>& table) {
  using Key = KeyOf<T>;
  const uint32_t tiles = group.template tiles<Block>();
  const GlobalPointer<uint32_t>& totals = exchange.tile_digits;  // [kDigits, tiles], then the sums of all before
  const Key* from = nullptr;                                     // the rewards themselves
#pragma unroll 1
  for (int shift = 0; shift < static_cast<int>(sizeof(Key)) * 8; shift += kDigitBits) {
    group.each_tile(block, [&](const Tile<T>& in) {
      const uint32_t tile = in.number;
      count_digits(block, group, from, tile, shift, table);
      const uint32_t left = group.size() - in.first, size = left < Block::kTile ? left : Block::kTile;
      block.each([&](int thread) {
        if (thread >= kDigits) return;
        const uint32_t next = thread + 1 < kDigits ? table.count[thread + 1][0] : size;
        totals[thread * tiles + tile] = next - table.count[thread][0];
      });
    });
    block.meet();
    if (block.rank == 0) {
      const uint32_t run = divide_up(kDigits * tiles, Block::kThreads);
      const auto own_totals = [&](int thread, auto visit) {
        for (uint32_t i = thread * run; i < (thread + 1) * run && i < kDigits * tiles; ++i) visit(totals[i]);
      };
      block.scan(
          [&](int thread) {
            uint32_t own = 0;
            own_totals(thread, [&](uint32_t& total) { own += total; });
            return own;
          },
          [&](int thread, uint32_t before) {
            own_totals(thread, [&](uint32_t& total) {
              const uint32_t own = total;
              total = before;
              before += own;
            });
          });
    }
    block.meet();
    bool varies = false;  // keys that agree in a digit stay where they are
#pragma unroll 1
    for (int digit = 0; digit < kDigits; ++digit) {
      const uint32_t next = digit + 1 < kDigits ? totals[(digit + 1) * tiles] : group.size();
      const uint32_t count = next - totals[digit * tiles];
      varies |= count != 0 && count != group.size();
    }
    if (!varies) {
      block.meet();  // the totals are written anew
      continue;
    }
    Key* const to = from == exchange.sorted ? exchange.keys : exchange.sorted;
    group.each_tile(block, [&](const Tile<T>& in) {
      const uint32_t tile = in.number;
      count_digits(block, group, from, tile, shift, table);
      block.each([&](int thread) {
        if (thread < kDigits) table.base[thread] = totals[thread * tiles + tile] - table.count[thread][0];
      });
      block.each([&](int thread) {
        visit_keys<Block>(group, from, tile, thread, [&](Key key) {
          const int digit = static_cast<int>((key >> shift) % kDigits);
          to[table.base[digit] + table.count[digit][thread]++] = key;
        });
      });
    });
    block.meet();
    from = to;
  }
  return from;
}

}  // namespace
}  // namespace gapo::cuda
