// How many blocks serve a call's large groups, and where in the workspace they exchange what. Plain C++.
#pragma once

#include "cuda/call.h"
#include "cuda/large_group.h"
#include "cuda/median_deviation.h"
#include "cuda/sort_group.h"
#include "cuda/tiers.h"

namespace gapo::cuda {
namespace {

// Of the kernel's blocks, and how many rewards a tile of theirs has.
inline constexpr int kLargeThreads = 512;
inline constexpr uint32_t kLargeTile = 2 * kLargestSorted;

// A group of more tiles than this is shared by several blocks, if there are fewer groups than blocks. A block holds at
// most this many tiles in shared memory. A guess: not measured.
inline constexpr int64_t kTilesAlone = 2;

// At the front of the workspace, 0 at the start.
struct LargeControl {
  uint32_t shared_count;  // listed groups above kTilesAlone, and the size of the longest
  uint32_t longest;
  uint32_t alone_count;  // the other listed groups
  uint32_t next_alone;   // the next of them that a block takes
};

// How many blocks each of `groups` groups can have that has work for so many.
GAPO_HD inline uint32_t spare_blocks(uint32_t blocks, int64_t groups, int64_t wanted) {
  const int64_t share = groups < blocks ? blocks / groups : 1;
  return static_cast<uint32_t>(share < wanted ? share : wanted);
}

// How many blocks share each of `groups` groups of at most `longest` rewards.
GAPO_HD inline uint32_t blocks_per_group(uint32_t blocks, uint32_t groups, int64_t longest, int64_t tile) {
  const int64_t tiles = divide_up(longest, tile);
  return tiles <= kTilesAlone ? 1 : spare_blocks(blocks, groups, tiles);
}

// The most blocks in a cluster. Devices take eight or, where a kernel asks for it, sixteen.
inline constexpr uint32_t kLargestCluster = 16;

// How many blocks of a cluster serve each of `groups` groups of one size, a power of two; 1: none is served so. A
// cluster needs no counter, and so neither a cleared workspace nor a cooperative launch: where twice as many blocks as
// the largest has could share a group, those are worth more. A guess, as is that a block pays with half a tile.
inline uint32_t cluster_for(uint32_t blocks, int64_t groups, int64_t size, int64_t tile) {
  const uint32_t share = spare_blocks(blocks, groups, (size + tile / 2) / tile);
  if (share >= 2 * kLargestCluster) return 1;
  uint32_t cluster = 1;
  while (2 * cluster <= share) cluster *= 2;
  return cluster;
}

struct LargePlan {
  uint32_t blocks = 0, bins = 0;
  uint32_t cluster = 1;     // blocks that share each group as a cluster; blocks is a multiple of it
  uint32_t held_tiles = 0;  // that a block holds in its own memory
  int64_t longest = 0;      // no group is longer
  int64_t tile = 0;
  bool listed = false;
  bool place_by_block = false;  // keys and sums have a place for each block, otherwise one for each group

  int64_t list_capacity = 0, key_places = 0, tile_places = 0;
  // bytes from the workspace's start
  std::size_t arrivals = 0, list = 0, ranges = 0, windows = 0, bin_count = 0, bin_low = 0, bin_high = 0;
  std::size_t digits = 0, sums = 0, tile_digits = 0, keys = 0, sorted = 0;
  Workspace workspace;

  GAPO_HD int64_t largest_alone() const { return kTilesAlone * tile; }
  // Whether the list has to be parted into groups that blocks may share and others: if any can be that long.
  GAPO_HD bool parts() const { return listed && longest > largest_alone(); }
  // How many blocks share each of the groups that can be shared.
  GAPO_HD uint32_t share(uint32_t groups, int64_t largest) const {
    return cluster > 1 ? cluster : blocks_per_group(blocks, groups, largest, tile);
  }
  // Whether any blocks wait for each other that are no cluster, so that all have to run at once.
  bool shares(int64_t groups) const {
    return parts() || (!listed && cluster == 1 && share(static_cast<uint32_t>(groups), longest) > 1);
  }
  // Whether they share groups so or take them from a list: then what they count by has to be 0.
  bool counts(int64_t groups) const { return listed || shares(groups); }
};

// Where a list says which groups are large, each is longer than half a tile: as many places for tiles as half tiles in
// all rewards are enough, and begin / (tile / 2) is a group's own.
static_assert(kLargeTile / 2 <= kLargestSorted);

inline LargePlan plan_large(const Call& call, bool listed, uint32_t blocks, uint32_t bins, uint32_t held_tiles,
                            int64_t tile = kLargeTile) {
  LargePlan plan;
  const Groups& groups = call.groups;
  const std::size_t key = call.element == Element::kFloat64 ? 8 : 4;
  plan.blocks = blocks;
  plan.bins = bins;
  plan.held_tiles = held_tiles;
  plan.longest = groups.max_group_size < groups.total ? groups.max_group_size : groups.total;
  plan.tile = tile;
  plan.listed = listed;
  const int64_t by_block = int64_t{blocks} * plan.longest;
  plan.place_by_block = by_block < groups.total;
  plan.key_places = plan.place_by_block ? by_block : groups.total;
  plan.tile_places = plan.place_by_block ? blocks * divide_up(plan.longest, tile) : groups.total / (tile / 2) + 1;
  if (listed) {
    const int64_t most = groups.total / (tile / 2 + 1);
    plan.list_capacity = most < groups.count ? most : groups.count;
  }
  Workspace& space = plan.workspace;
  space.take(sizeof(LargeControl));
  plan.arrivals = space.take(blocks * sizeof(uint32_t));
  space.cleared = space.bytes;
  plan.list = space.take(plan.list_capacity * sizeof(int64_t));
  plan.ranges = space.take(blocks * sizeof(Range<double>));
  plan.windows = space.take(blocks * sizeof(Window));
  const std::size_t all_bins = std::size_t{blocks} * bins;
  plan.bin_count = space.take(all_bins * sizeof(uint32_t));
  plan.bin_low = space.take(all_bins * key);
  plan.bin_high = space.take(all_bins * key);
  if (call.rule.scale == Scale::kMad) plan.digits = space.take(blocks * kDeviationCounters * sizeof(uint32_t));
  plan.sums = space.take(plan.tile_places * kSumKinds * sizeof(double));
  plan.tile_digits = space.take(plan.tile_places * kDigits * sizeof(uint32_t));
  plan.keys = space.take(plan.key_places * key);
  plan.sorted = space.take(plan.key_places * key);
  return plan;
}

// The exchange of the blocks from `first_block` on, which share the group.
template <typename T>
GAPO_DEVICE Exchange<T> exchange_at(const LargePlan& plan, unsigned char* workspace, uint32_t first_block,
                                    const Slice& slice) {
  const int64_t key = plan.place_by_block ? first_block * plan.longest : slice.begin;
  const int64_t tile =
      plan.place_by_block ? first_block * divide_up(plan.longest, plan.tile) : slice.begin / (plan.tile / 2);
  const int64_t bin = int64_t{first_block} * plan.bins;
  const auto at = [&](std::size_t place, auto* type, int64_t index) {
    return reinterpret_cast<decltype(type)>(workspace + place) + index;
  };
  using Key = KeyOf<T>;
  Exchange<T> exchange;
  exchange.ranges = at(plan.ranges, static_cast<Range<T>*>(nullptr), first_block);
  exchange.windows = at(plan.windows, static_cast<Window*>(nullptr), first_block);
  exchange.sums = at(plan.sums, static_cast<double*>(nullptr), tile * kSumKinds);
  exchange.bin_count = at(plan.bin_count, static_cast<uint32_t*>(nullptr), bin);
  exchange.bin_low = at(plan.bin_low, static_cast<Key*>(nullptr), bin);
  exchange.bin_high = at(plan.bin_high, static_cast<Key*>(nullptr), bin);
  exchange.digits = at(plan.digits, static_cast<uint32_t*>(nullptr), int64_t{first_block} * kDeviationCounters);
  exchange.tile_digits = at(plan.tile_digits, static_cast<uint32_t*>(nullptr), tile * kDigits);
  exchange.keys = at(plan.keys, static_cast<Key*>(nullptr), key);
  exchange.sorted = at(plan.sorted, static_cast<Key*>(nullptr), key);
  return exchange;
}

}  // namespace
}  // namespace gapo::cuda
