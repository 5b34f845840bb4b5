// A launch of the kernel for large groups (csrc/cuda/large_group.cu), with a thread of the CPU for every block.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

#include "check.h"
#include "host_block.h"
// the block's CPU form comes before what is written against it
#include "cuda/large_schedule.h"

namespace gapo::cuda {
namespace {

template <typename T>
struct Result {
  std::vector<T> advantage, stats;
  bool operator==(const Result& other) const {
    return std::memcmp(advantage.data(), other.advantage.data(), advantage.size() * sizeof(T)) == 0 &&
           std::memcmp(stats.data(), other.stats.data(), stats.size() * sizeof(T)) == 0;
  }
};

template <typename T>
struct Case {
  Rule rule;
  std::vector<T> rewards;
  const bool* valid = nullptr;
  std::vector<int32_t> rows{};  // or none
  bool stats_by_row = false;
};

struct Grid {
  int blocks;
  uint32_t bins;
  ThreadOrder order;
  int64_t promised = 0;  // the longest group, as the caller says; 0: as it is
  uint32_t held = 2;     // tiles that a block holds in its own memory
};

constexpr uint32_t kBins = 2048;
constexpr uint64_t kPoison = 0xA5A5A5A5A5A5A5A5u;
constexpr double kUntouched = 1234.0;

// A launch, with a thread of the CPU in the place of every block. sizes: of groups that lie one after the other; of one
// size, they are served without a list.
template <typename T, int kThreads, uint32_t kTile = HostBlock<kThreads>::kTile>
Result<T> run(const Case<T>& input, const std::vector<int64_t>& sizes, const Grid& grid) {
  using Block = HostBlock<kThreads, kTile>;
  const auto n = static_cast<int64_t>(input.rewards.size());
  const auto count = static_cast<int64_t>(sizes.size());
  const int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  const bool listed = longest * count != n;
  std::vector<int64_t> offsets{0}, large;
  for (int64_t size : sizes) {
    if (size > kTile / 2) large.push_back(static_cast<int64_t>(offsets.size()) - 1);
    offsets.push_back(offsets.back() + size);
  }
  constexpr T untouched = static_cast<T>(kUntouched);
  Result<T> result{std::vector<T>(n, untouched), std::vector<T>(4 * (input.stats_by_row ? n : count), untouched)};
  LargeCall call{};
  call.call.rule = input.rule;
  call.call.rule.report_window = true;
  call.call.element = sizeof(T) == 4 ? Element::kFloat32 : Element::kFloat64;
  Groups& groups = call.call.groups;
  groups.rewards = input.rewards.data();
  groups.valid = input.valid;
  groups.rows = input.rows.empty() ? nullptr : input.rows.data();
  groups.total = n;
  groups.count = count;
  groups.max_group_size = listed && grid.promised > 0 ? grid.promised : longest;
  if (listed) {
    groups.offsets = offsets.data();
    groups.wide_offsets = true;
  } else {
    groups.group_size = longest;
  }
  call.call.out = {result.advantage.data(), result.stats.data(), input.stats_by_row};
  call.plan = plan_large(call.call, listed, grid.blocks, grid.bins, grid.held, kTile);
  std::vector<uint64_t> workspace(call.plan.workspace.bytes / 8 + 1, kPoison);
  call.workspace = reinterpret_cast<unsigned char*>(workspace.data());
  if (call.plan.counts(count)) std::fill_n(call.workspace, call.plan.workspace.cleared, static_cast<unsigned char>(0));
  int32_t listed_count = static_cast<int32_t>(large.size());
  if (listed) call.given = {large.data(), &listed_count, listed_count};
  if (call.plan.parts()) {
    for (int64_t g : large) part_group(call, g);
  }
  std::vector<std::thread> blocks;
  for (int index = 0; index < grid.blocks; ++index) {
    blocks.emplace_back([&, index] {
      Block block(grid.order, index);
      Turn<T> turn;
      std::vector<uint64_t> memory(block_memory<T, Block>(grid.bins, grid.held) / 8 + 1, kPoison);
      serve_groups(call, index, block, turn, reinterpret_cast<unsigned char*>(memory.data()));
      CHECK_EQ(memory.back(), kPoison);
    });
  }
  for (std::thread& block : blocks) block.join();
  CHECK_EQ(workspace.back(), kPoison);
  return result;
}

}  // namespace
}  // namespace gapo::cuda
