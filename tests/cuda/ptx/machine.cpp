#include "machine.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "text.h"

namespace ptx {
namespace {

// A warp's stretch, so that one that waits in a loop for another block gives way.
constexpr uint64_t kStretch = 100'000;
// Instructions of one launch without an end in sight.
constexpr uint64_t kMost = 40'000'000'000;

[[noreturn]] void fault(const Block& block, const Thread& t, const std::string& what) {
  const Kernel& kernel = *block.launch->kernel;
  const Instruction& i = kernel.code[t.at];
  throw Fault(what + "; " + kernel.name + ", block " + std::to_string(block.index.x) + ", thread " +
              std::to_string(t.number) + ", line " + std::to_string(i.line) + ": " + std::string(i.text));
}

uint64_t preset(const Preset& preset, Block& block, uint32_t number) {
  using What = Preset::What;
  const Launch& launch = *block.launch;
  const auto axis = [&](Dim3 d) { return uint64_t{preset.detail == 0 ? d.x : preset.detail == 1 ? d.y : d.z}; };
  const uint32_t lane = number % kWarpSize;
  switch (preset.what) {
    case What::kParameter:
      return reinterpret_cast<uint64_t>(block.parameters.data()) + preset.detail;
    case What::kLocal:
      return reinterpret_cast<uint64_t>(block.local.data()) + number * launch.kernel->local_bytes + preset.detail;
    case What::kDynamicShared:
      return launch.kernel->shared_bytes;
    case What::kThread:
      return axis({number % launch.block.x, number / launch.block.x % launch.block.y,
                   number / launch.block.x / launch.block.y});
    case What::kBlock:
      return axis(block.index);
    case What::kBlockSize:
      return axis(launch.block);
    case What::kGridSize:
      return axis(launch.grid);
    case What::kLane:
      return lane;
    case What::kLaneMask: {
      const uint64_t own = uint64_t{1} << lane, below = own - 1, all = 0xFFFFFFFF;
      const uint64_t masks[] = {own, below, below | own, all & ~(below | own), all & ~below};
      return masks[preset.detail];
    }
  }
  return 0;
}

Dim3 index_of(uint64_t number, Dim3 grid) {
  return {static_cast<uint32_t>(number % grid.x), static_cast<uint32_t>(number / grid.x % grid.y),
          static_cast<uint32_t>(number / grid.x / grid.y)};
}

// Makes the block ready at a place of the grid.
void begin(Block& block, const Launch& launch, uint64_t place, Cluster& cluster) {
  const Kernel& kernel = *launch.kernel;
  const auto count = static_cast<uint32_t>(launch.block.count());
  block.launch = &launch;
  block.cluster = &cluster;
  block.meetings = 0;
  const Dim3 index = block.index = index_of(place, launch.grid);
  block.order = {};
  block.order.number = static_cast<uint32_t>(place);
  block.turn = index.x;
  block.has_waited = false;
  block.shared.begin(kernel.shared_bytes + launch.dynamic_shared);
  if (const auto cells = std::size_t{aligned(count, kWarpSize)} * kernel.registers; block.registers.size() < cells) {
    block.registers.resize(cells, 0xA5A5A5A5A5A5A5A5);
  }
  block.local.resize(count * kernel.local_bytes);
  block.warp_epochs.assign((count + kWarpSize - 1) / kWarpSize, 0);
  block.parameters.resize(kernel.parameter_bytes);
  for (std::size_t n = 0; n < kernel.parameters.size(); ++n) {
    std::memcpy(block.parameters.data() + kernel.parameters[n].offset, launch.arguments[n], kernel.parameters[n].size);
  }
  block.threads.assign(count, {});
  for (uint32_t number = 0; number < count; ++number) {
    Thread& t = block.threads[number];
    const uint32_t lane = number % kWarpSize;
    t.cells[0] = block.registers.data() + std::size_t{number - lane} * kernel.registers + lane;
    t.cells[1] = const_cast<uint64_t*>(kernel.constants.data());
    t.block = &block;
    t.number = number;
    t.may_go_on = !launch.early;
    for (const Preset& each : kernel.presets) t.cells[0][each.index] = preset(each, block, number);
  }
}

// Takes an instruction that is not a plain one: a branch, or where the thread waits or ends.
void step(const Block& block, Thread& t, const Instruction& i) {
  if (t.skips(i)) {
    ++t.at;
  } else if (i.kind == Kind::kBranch) {
    t.at = i.target;
  } else if (i.kind == Kind::kExit) {
    if (!t.may_go_on && !block.launch->beside) fault(block, t, "ends before what came before it");
    t.state = Thread::State::kDone;
  } else {
    t.state = i.kind == Kind::kWarp ? Thread::State::kAtWarp : Thread::State::kAtBarrier;
  }
}

// Runs a warp until all its threads wait or have ended, or its stretch is over. Those that are furthest behind go
// first, and take each instruction one after the other. Returns how many instructions that took.
uint64_t run_warp(Block& block, uint32_t first, uint32_t lanes) {
  const std::vector<Instruction>& code = block.launch->kernel->code;
  uint64_t steps = 0;
  while (steps < kStretch) {
    Group group;
    auto at = static_cast<uint32_t>(code.size()), ahead = at;  // and where the others are next
    for (uint32_t n = 0; n < lanes; ++n) {
      // 7 goes round a whole warp
      Thread& t = block.threads[first + (lanes == kWarpSize ? (block.turn + 7 * n) % lanes : n)];
      if (t.state != Thread::State::kReady) continue;
      if (t.at < at) {
        ahead = std::exchange(at, t.at);
        group.count = 0;
      }
      if (t.at == at) {
        group.threads[group.count++] = &t;
      } else {
        ahead = std::min(ahead, t.at);
      }
    }
    if (group.count == 0) break;
    try {
      for (; at < ahead && code[at].kind == Kind::kPlain; ++at) {
        code[at].run(group, code[at]);
        steps += group.count;
      }
    } catch (const Fault& error) {
      group.current->at = at;
      fault(block, *group.current, error.what());
    }
    for (uint32_t n = 0; n < group.count; ++n) {
      group.threads[n]->at = at;
      if (at < ahead) step(block, *group.threads[n], code[at]);
    }
    if (at < ahead) steps += group.count;
  }
  return steps;
}

// Lets lanes that are all where they wait for each other go on together. Whether any did.
bool run_together(Block& block, uint32_t first) {
  Warp warp{&block.threads[first], static_cast<int>(std::min<std::size_t>(kWarpSize, block.threads.size() - first)),
            &block.warp_epochs[first / kWarpSize]};
  const Kernel& kernel = *block.launch->kernel;
  for (int lane = 0; lane < warp.count; ++lane) {
    Thread& t = warp.lanes[lane];
    if (t.state != Thread::State::kAtWarp) continue;
    const Instruction& i = kernel.code[t.at];
    const auto mask_of = [&](const Thread& each) {
      return i.whole_warp ? 0xFFFFFFFF : each.get<uint32_t>(i.in[i.ins - 1]);
    };
    const uint32_t mask = mask_of(t);
    if (!(mask >> lane & 1)) fault(block, t, "a lane outside the mask that it gives");
    bool all_here = true;
    for (int other = 0; other < kWarpSize && all_here; ++other) {
      if (!(mask >> other & 1)) continue;
      if (other >= warp.count || warp.lanes[other].state == Thread::State::kDone) {
        fault(block, t, "waits for lane " + std::to_string(other) + ", which has ended");
      }
      const Thread& each = warp.lanes[other];
      all_here = each.state == Thread::State::kAtWarp && each.at == t.at && mask_of(each) == mask;
    }
    if (!all_here) continue;
    try {
      i.together(warp, i, mask);
    } catch (const Fault& error) {
      fault(block, t, error.what());
    }
    for (int other = 0; other < warp.count; ++other) {
      if (!(mask >> other & 1)) continue;
      warp.lanes[other].state = Thread::State::kReady;
      ++warp.lanes[other].at;
    }
    return true;
  }
  return false;
}

// Whether all have arrived for whom the block's threads wait.
bool wait_for_cluster(Block& block) {
  Cluster& cluster = *block.cluster;
  for (const Thread& t : block.threads) {
    if (!t.has_arrived) fault(block, t, "waits for its cluster before it has arrived");
  }
  if (cluster.arrivals < (block.meetings + 1) * cluster.threads) return false;
  join(block.order.heard, cluster.published[block.meetings++ % 2]);
  for (Thread& t : block.threads) t.has_arrived = false;
  return true;
}

// bar.sync, and bar.red, which combines a predicate: and, or, popc in mode 1, 2, 3; barrier.cluster.wait.
bool run_barrier(Block& block) {
  Thread* first = nullptr;
  uint32_t holding = 0, waiting = 0;
  const Kernel& kernel = *block.launch->kernel;
  for (Thread& t : block.threads) {
    if (t.state == Thread::State::kDone) continue;
    if (t.state != Thread::State::kAtBarrier) return false;
    if (!first) first = &t;
    if (t.at != first->at)
      fault(block, t, "a barrier, while thread " + std::to_string(first->number) + " is at another");
    const Instruction& i = kernel.code[t.at];
    holding += i.mode != 0 && t.predicate(i.in[i.ins - 1]);
    ++waiting;
  }
  if (!first) return false;
  const Instruction& i = kernel.code[first->at];
  if (i.of_cluster && !wait_for_cluster(block)) return false;
  const uint32_t result = i.mode == 1 ? holding == waiting : i.mode == 2 ? holding > 0 : holding;
  for (Thread& t : block.threads) {
    if (t.state == Thread::State::kDone) continue;
    if (i.mode != 0) t.put<uint32_t>(i.out[0], result);
    t.state = Thread::State::kReady;
    ++t.at;
  }
  block.shared.barrier();
  block.order.barrier();
  return true;
}

// Gives every thread that can run a stretch, warps and lanes in a changing order. Whether any did; adds the
// instructions.
bool run_block(Block& block, uint64_t& steps) {
  const uint64_t before = steps;
  const auto count = static_cast<uint32_t>(block.threads.size());
  const uint32_t warps = (count + kWarpSize - 1) / kWarpSize;
  for (uint32_t w = 0; w < warps; ++w) {
    const uint32_t first = (block.turn + w) % warps * kWarpSize;
    const uint32_t lanes = std::min<uint32_t>(kWarpSize, count - first);
    do {
      steps += run_warp(block, first, lanes);
    } while (run_together(block, first));
  }
  block.turn += 13;
  return run_barrier(block) || steps > before;
}

const Thread* first_running(const Block& block) {
  const auto found = std::find_if(block.threads.begin(), block.threads.end(),
                                  [](const Thread& t) { return t.state != Thread::State::kDone; });
  return found == block.threads.end() ? nullptr : &*found;
}

// Runs blocks side by side until all have ended. Returns the instructions.
uint64_t run_blocks(Block* begin, Block* end) {
  uint64_t steps = 0;
  const auto is_running = [](const Block& block) { return first_running(block) != nullptr; };
  for (Block* running = begin; (running = std::find_if(begin, end, is_running)) != end;) {
    bool moved = false;
    for (Block* block = begin; block != end; ++block) moved |= run_block(*block, steps);
    if (!moved) fault(*running, *first_running(*running), "waits for threads that never come");
    if (steps > kMost) fault(*running, *first_running(*running), "has no end");
  }
  return steps;
}

}  // namespace

// Ready to be read by whoever waits. As with a fence, that is what came before the block's last barrier.
void arrive_at_cluster(Thread& t, const Instruction&) {
  Cluster& cluster = *t.block->cluster;
  if (t.has_arrived) throw Fault("arrives at its cluster's barrier again before it has waited");
  t.has_arrived = true;
  Heard& published = cluster.published[cluster.arrivals / cluster.threads % 2];
  if (cluster.arrivals++ % cluster.threads == 0) published.clear();
  join(published, t.block->order.published());
}

void run(const Launch& launch) {
  begin_globals();
  begin_global_races();
  const uint64_t count = launch.grid.count(), together = launch.cooperative ? count : launch.cluster;
  uint64_t steps = 0;
  bool has_waited = false;
  static std::vector<Block> resident;  // kept: their memory takes longer to get than to use
  if (resident.size() < together) resident.resize(together);
  for (uint64_t n = 0; n < count; n += together) {
    std::vector<Cluster> clusters(together / launch.cluster, {launch.cluster * launch.block.count()});
    for (uint64_t b = 0; b < together; ++b) begin(resident[b], launch, n + b, clusters[b / launch.cluster]);
    steps += run_blocks(resident.data(), resident.data() + together);
    for (uint64_t b = 0; b < together; ++b) has_waited |= resident[b].has_waited;
  }
  if (launch.beside && !has_waited) throw Fault(launch.kernel->name + " may end before the launch beside it");
  if (std::getenv("GAPO_PTX_COUNT")) {
    std::fprintf(stderr, "%12" PRIu64 " instructions, %u blocks of %" PRIu64 ", clusters of %u%s: %s\n", steps,
                 launch.grid.x, launch.block.count(), launch.cluster, launch.early ? ", early" : "",
                 launch.kernel->name.c_str());
  }
}

}  // namespace ptx
