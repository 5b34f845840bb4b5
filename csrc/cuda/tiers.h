// Which kernel serves which group size: the one table that the launchers, `gapo_numpy.plan` and the tests read.
// Plain C++: nothing of CUDA is needed to read it.
//
// A group is sorted by `lanes` threads with `rewards` values each in registers, up to capacity = lanes * rewards; above
// kLargestSorted it is binned first (large_group.cu). The budgets are held against the compiler's report
// (tests/cuda): registers of every kernel of the row, instructions per reward of its float32 kernel for (hdi_median,
// rms).
#pragma once

#include <cstdint>

namespace gapo::cuda {

inline constexpr int kWarp = 32;  // lanes

enum class Tier {
  kThread,  // thread_groups.cu: one thread per group
  kLanes,   // lane_groups.cu: 4 to 32 lanes of a warp per group
  kBlock,   // block_groups.cu: one block per group
  kBinned,  // large_group.cu: one block or several per group
};

inline constexpr const char* kTierNames[] = {"thread", "lanes", "block", "binned"};

struct SizeClass {
  Tier tier;
  int lanes;             // threads that share a group
  int rewards;           // values that each of them holds
  int threads;           // in a block
  int registers;         // budget a thread, float32, float16 and bfloat16
  int double_registers;  // budget a thread, float64
  int instructions;      // budget a reward

  constexpr int64_t capacity() const { return int64_t{1} * lanes * rewards; }
  constexpr int groups_per_block() const { return threads / lanes; }
  // Blocks that a multiprocessor takes within the budget, of its 65536 registers: what the compiler aims at.
  constexpr int blocks_per_processor(bool of_doubles) const {
    return 65536 / (threads * (of_doubles ? double_registers : registers));
  }
};

// clang-format off
inline constexpr SizeClass kSizeClasses[] = {
    // tier     lanes  rewards  threads  registers  of doubles  instructions
    {Tier::kThread, 1,       4,      64,        64,         96,           79},
    {Tier::kThread, 1,       8,      64,        64,         96,           52},
    {Tier::kThread, 1,      16,      64,        80,        128,           42},
    {Tier::kThread, 1,      32,      64,       128,        168,           39},
    {Tier::kLanes,  4,      16,     128,        96,        128,           71},
    {Tier::kLanes,  8,      16,     128,        96,        128,           85},
    {Tier::kLanes, 16,      16,     128,        96,        128,          102},
    {Tier::kLanes, 32,      16,     128,        96,        128,          122},
    {Tier::kLanes, 32,      32,     128,       128,        168,          122},
    {Tier::kBlock, 128,      16,     128,        96,        128,          175},
    {Tier::kBlock, 256,      16,     256,        96,        128,          210},
};
// clang-format on
inline constexpr int kSizeClassCount = sizeof(kSizeClasses) / sizeof(kSizeClasses[0]);

// Largest group that is sorted whole; larger ones are binned.
inline constexpr int64_t kLargestSorted = 4096;
static_assert(kSizeClasses[kSizeClassCount - 1].capacity() == kLargestSorted);

// Ragged groups of at most so many rewards take the class of max_group_size, as if all were of that size. Where they
// may be longer, each goes by its own size: up to kRaggedThread to one thread, above it to a warp.
inline constexpr int64_t kLargestPacked = 256;
inline constexpr int kRaggedThread = 32;

// Largest group that the one launch for ragged groups serves; longer ones go to lists in device memory.
inline constexpr int64_t kLargestRagged = 1024;

// What a lane of the warp takes there: the first that fits is chosen, group by group.
inline constexpr int kRaggedRewards[] = {2, 4, 8, 16, 32};
inline constexpr int kRaggedClassCount = sizeof(kRaggedRewards) / sizeof(kRaggedRewards[0]);
static_assert(kWarp * kRaggedRewards[kRaggedClassCount - 1] == kLargestRagged);

// A team's place in shared memory, in values of value_bytes each. One lane: a column of its own. More: a row with one
// value of padding after every turn_of_values values, so that lanes which read the same rank of their runs hit
// different banks. Neighbouring values hit different banks too, except for the two on either side of a padding value.
constexpr int turn_of_values(int lanes, int rewards, int value_bytes) {
  const int banks = 128 / value_bytes, together = lanes < banks ? lanes : banks;
  return rewards < together ? together : rewards;
}
constexpr int row_of_values(int lanes, int rewards, int value_bytes) {
  const int capacity = lanes * rewards;
  return lanes == 1 ? rewards : capacity + capacity / turn_of_values(lanes, rewards, value_bytes);
}
constexpr int64_t shared_values(const SizeClass& shape, int value_bytes) {
  return int64_t{1} * shape.groups_per_block() * row_of_values(shape.lanes, shape.rewards, value_bytes);
}

// Float64 for the sums of teams larger than a warp: two a warp.
constexpr int scratch_doubles(int lanes) { return lanes <= kWarp ? 0 : 2 * lanes / kWarp; }
constexpr int64_t scratch_bytes(const SizeClass& shape) { return 8 * scratch_doubles(shape.lanes); }

// The first row that takes a group of this size; -1 where the group is binned.
constexpr int size_class(int64_t group_size) {
  for (int i = 0; i < kSizeClassCount; ++i) {
    if (group_size <= kSizeClasses[i].capacity()) return i;
  }
  return -1;
}

}  // namespace gapo::cuda
