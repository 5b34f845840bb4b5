// Which block works on which group: long groups first, each with as many blocks as there are to spare; then every block
// takes the shorter ones by itself, one after the other. The sizes may be known to the device alone.
#pragma once

#include "cuda/large_plan.h"
#include "cuda/large_statistics.h"

namespace gapo::cuda {
namespace {

struct LargeCall {
  Call call;
  LargePlan plan;
  unsigned char* workspace;
  WorkList given;  // where there is a list

  GAPO_DEVICE LargeControl& control() const { return *reinterpret_cast<LargeControl*>(workspace); }
  GAPO_DEVICE int64_t* list() const { return reinterpret_cast<int64_t*>(workspace + plan.list); }

  // How many groups blocks may share. Without a list all groups have one size, and it is known which block takes which.
  GAPO_DEVICE uint32_t shared_groups() const {
    if (!plan.listed) return static_cast<uint32_t>(call.groups.count);
    return plan.parts() ? control().shared_count : 0;
  }
  GAPO_DEVICE uint32_t alone_groups() const {
    return plan.parts() ? control().alone_count : plan.listed ? static_cast<uint32_t>(given.size()) : 0;
  }
  GAPO_DEVICE int64_t alone_group(uint32_t taken) const {
    return plan.parts() ? list()[plan.list_capacity - 1 - taken] : given.groups[taken];
  }
};

// Puts a listed group among those that blocks may share, from the list's front on, or among the others, from its back
// on. The order is an accident and decides nothing.
GAPO_DEVICE void part_group(const LargeCall& large, int64_t g) {
  const int64_t size = slice_of(large.call, g).size;
  if (size > large.plan.largest_alone() && size <= large.plan.longest) {
    large.list()[atomic_add(&large.control().shared_count, 1u)] = g;
    atomic_raise(&large.control().longest, static_cast<uint32_t>(size));
  } else {
    large.list()[large.plan.list_capacity - 1 - atomic_add(&large.control().alone_count, 1u)] = g;
  }
}

// A block's group and what belongs to it: in the block's own memory, kept and moved on by its first thread.
template <typename T>
struct Turn {
  bool sharing;          // with its neighbours; afterwards the block takes groups by itself
  uint32_t first_block;  // of those that share
  uint32_t next, stride;
  bool over;  // there was no group left
  bool last;  // nor is there one after this
  Place place;
  Exchange<T> exchange;

  template <typename Block>
  GAPO_DEVICE void begin(const LargeCall& large, uint32_t block_index, Block& block) {
    const LargePlan& plan = large.plan;
    const uint32_t groups = large.shared_groups();
    const int64_t longest = plan.listed ? large.control().longest : plan.longest;
    const uint32_t share = groups > 0 ? plan.share(groups, longest) : 1;
    stride = plan.blocks / share;
    next = block_index / share;
    sharing = next < stride;  // blocks that are left over share nothing
    first_block = sharing ? next * share : block_index;
    block.rank = static_cast<int>(block_index - first_block);
    block.count = sharing ? static_cast<int>(share) : 1;
    block.is_cluster = plan.cluster > 1;
    block.arrivals = reinterpret_cast<uint32_t*>(large.workspace + plan.arrivals) + first_block;
    block.expected = 0;
  }

  template <typename Block>
  GAPO_DEVICE void advance(const LargeCall& large, uint32_t block_index, Block& block) {
    const LargePlan& plan = large.plan;
    int64_t g;
    if (sharing && next < large.shared_groups()) {
      g = plan.listed ? large.list()[next] : next;
      next += stride;
      last = next >= large.shared_groups() && large.alone_groups() == 0;
    } else {
      sharing = false;
      first_block = block_index;
      block.rank = 0;
      block.count = 1;
      last = false;
      over = large.alone_groups() == 0;
      if (over) return;
      const uint32_t taken = atomic_add(&large.control().next_alone, 1u);
      over = taken >= large.alone_groups();
      if (over) return;
      g = large.alone_group(taken);
    }
    over = false;
    const Slice slice = slice_of(large.call, g);
    place = {g, slice.begin, static_cast<uint32_t>(slice.size)};
    exchange = exchange_at<T>(plan, large.workspace, first_block, slice);
  }
};

// What a block has in its own memory besides its Block and Turn: bins or digits, then the tiles that it holds.
template <typename T, typename Block>
constexpr std::size_t block_memory(uint32_t bins, uint32_t held_tiles) {
  return RankedGroup<T, Block>::shared_bytes(bins) + held_tiles * Block::kTile * sizeof(T);
}

// A block's whole work. memory: block_memory, the block's own as turn and block are.
template <typename T, typename Block>
GAPO_DEVICE void serve_groups(const LargeCall& large, uint32_t block_index, Block& block, Turn<T>& turn,
                              unsigned char* memory) {
  block.each([&](int thread) {
    if (thread == 0) turn.begin(large, block_index, block);
  });
#pragma unroll 1
  for (;;) {
    block.each([&](int thread) {
      if (thread == 0) turn.advance(large, block_index, block);
    });
    if (turn.over) return;
    const bool refused = turn.place.size > large.plan.longest;  // longer than the caller said
    T* const held = reinterpret_cast<T*>(memory + RankedGroup<T, Block>::shared_bytes(large.plan.bins));
    const LargeGroup<T> group{large.call, turn.place, held, refused ? 0 : large.plan.held_tiles};
    if (refused) {
      write_large(block, group, nan_group());
    } else if (turn.place.size > 0) {
      const uint32_t own = bins_for(turn.place.size);  // the plan's are as many as the longest group's
      const uint32_t bins = own < large.plan.bins ? own : large.plan.bins;
      large_advantage(block, group, memory, bins, turn.exchange);
    }
    if (turn.last) return;
    block.meet();  // the exchange is free for the next group
  }
}

}  // namespace
}  // namespace gapo::cuda
