#include "fiber.h"

#include <setjmp.h>
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

// Where a thread goes on. It begins by its context, and from then on gives way by jumps: swapcontext would ask the
// kernel each time which signals are blocked.
struct Place {
  ucontext_t begin;
  jmp_buf next;
  bool begun, done;
};

struct Block {
  std::vector<Place> places;
  std::vector<std::vector<char>> stacks;
  std::vector<Warp> warps;
  Barrier barrier;
  ucontext_t caller;
  const std::function<void()>* body = nullptr;
  int threads = 0, current = 0, alive = 0;
  int idle_turns = 0;  // since someone got on
};
Block block;

// The thread behind the current one, of those that are not done.
int successor() {
  int thread = block.current;
  do {
    thread = (thread + 1) % block.threads;
  } while (block.places[thread].done);
  return thread;
}

void resume(int thread) {
  Place& place = block.places[thread];
  block.current = thread;
  if (place.begun) _longjmp(place.next, 1);
  place.begun = true;
  setcontext(&place.begin);
}

void give_way() {
  if (++block.idle_turns > 4 * block.threads) {
    std::fprintf(stderr, "threads of the block wait for others that do not come\n");
    std::abort();
  }
  const int thread = successor();
  if (thread != block.current && _setjmp(block.places[block.current].next) == 0) resume(thread);
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
  block.places[block.current].done = true;
  block.idle_turns = 0;
  if (--block.alive == 0) setcontext(&block.caller);
  resume(successor());
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
  block.idle_turns = 0;
  block.body = &body;
  block.warps.assign(threads / kWarp, {});
  for (Warp& each : block.warps) each.barrier.members = kWarp;
  block.barrier = {threads, 0, 0};
  block.places.resize(threads);
  while (static_cast<int>(block.stacks.size()) < threads) block.stacks.emplace_back(kStack);
  for (int thread = 0; thread < threads; ++thread) {
    Place& place = block.places[thread];
    place.begun = place.done = false;
    ucontext_t& context = place.begin;
    getcontext(&context);
    context.uc_stack.ss_sp = block.stacks[thread].data();
    context.uc_stack.ss_size = kStack;
    context.uc_link = nullptr;
    makecontext(&context, run_fiber, 0);
  }
  block.current = 0;
  block.places[0].begun = true;
  swapcontext(&block.caller, &block.places[0].begin);
}
