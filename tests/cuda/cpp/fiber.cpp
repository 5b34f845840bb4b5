#include "fiber.h"

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kWarp = 32;
constexpr std::size_t kStack = 256 << 10;

// Opens once all members have come, and counts how often it did.
struct Barrier {
  int members = 0, arrived = 0;
  uint64_t opened = 0;
};

struct Warp {
  Barrier barrier;
  uint64_t slots[2][kWarp];  // taken in turn: a fast lane may bring its next value before a slow one has read
};

struct Block {
  std::vector<ucontext_t> contexts;
  std::vector<std::vector<char>> stacks;
  std::vector<bool> done;
  std::vector<Warp> warps;
  Barrier barrier;
  ucontext_t caller;
  const std::function<void()>* body = nullptr;
  int threads = 0, current = 0, alive = 0;
  int idle_turns = 0;  // since someone got on
};
Block block;

void give_way() {
  if (++block.idle_turns > 4 * block.threads) {
    std::fprintf(stderr, "threads of the block wait for others that do not come\n");
    std::abort();
  }
  const int from = block.current;
  do {
    block.current = (block.current + 1) % block.threads;
  } while (block.done[block.current]);
  if (block.current != from) swapcontext(&block.contexts[from], &block.contexts[block.current]);
}

void pass(Barrier& barrier) {
  const uint64_t turn = barrier.opened;
  if (++barrier.arrived == barrier.members) {
    barrier.arrived = 0;
    ++barrier.opened;
    block.idle_turns = 0;
    return;
  }
  while (barrier.opened == turn) give_way();
}

Warp& warp() { return block.warps[block.current / kWarp]; }

void run_fiber() {
  (*block.body)();
  block.done[block.current] = true;
  block.idle_turns = 0;
  if (--block.alive == 0) setcontext(&block.caller);
  do {
    block.current = (block.current + 1) % block.threads;
  } while (block.done[block.current]);
  setcontext(&block.contexts[block.current]);
}

}  // namespace

int Fiber::index() { return block.current; }

uint64_t Fiber::exchange(uint64_t bits, int lane) {
  Warp& own = warp();
  uint64_t* const slots = own.slots[own.barrier.opened % 2];
  slots[block.current % kWarp] = bits;
  pass(own.barrier);
  return slots[lane];
}

uint32_t Fiber::ballot(bool condition) {
  Warp& own = warp();
  uint64_t* const slots = own.slots[own.barrier.opened % 2];
  slots[block.current % kWarp] = condition;
  pass(own.barrier);
  uint32_t votes = 0;
  for (int lane = 0; lane < kWarp; ++lane) votes |= static_cast<uint32_t>(slots[lane]) << lane;
  return votes;
}

void Fiber::sync_warp() { pass(warp().barrier); }

void Fiber::sync_block() { pass(block.barrier); }

void run_block(int threads, const std::function<void()>& body) {
  block.threads = block.alive = threads;
  block.current = block.idle_turns = 0;
  block.body = &body;
  block.done.assign(threads, false);
  block.warps.assign(threads / kWarp, {});
  for (Warp& each : block.warps) each.barrier.members = kWarp;
  block.barrier = {threads, 0, 0};
  block.contexts.resize(threads);
  while (static_cast<int>(block.stacks.size()) < threads) block.stacks.emplace_back(kStack);
  for (int thread = 0; thread < threads; ++thread) {
    ucontext_t& context = block.contexts[thread];
    getcontext(&context);
    context.uc_stack.ss_sp = block.stacks[thread].data();
    context.uc_stack.ss_size = kStack;
    context.uc_link = nullptr;
    makecontext(&context, run_fiber, 0);
  }
  swapcontext(&block.caller, &block.contexts[0]);
}
