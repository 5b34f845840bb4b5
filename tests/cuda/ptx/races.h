// Races in global memory: two threads of a launch touch a byte, one of them writes, and nothing orders the two.
//
// What orders them, as PTX's memory model has it: within a block a barrier, within a warp a bar.warp.sync; between
// blocks a fence behind what was done, a relaxed access that writes a word, a relaxed access that reads it, and a fence
// before what follows; or the barrier of their cluster. A fence, and a thread that arrives at such a barrier, publishes
// what the block did before its last barrier, and what it heard of: that is less than the model allows (a thread's own
// accesses behind that barrier count as well), and no kernel here relies on more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace ptx {

// Of each block of the launch: its stretches between barriers below this number have been heard of.
using Heard = std::vector<uint32_t>;

// What a block has heard of others, and its threads, as far as they had to do with fences.
struct BlockOrder {
  struct Fences {
    Heard heard;      // by the last fence
    Heard read;       // by relaxed reads: heard of from the next fence on
    Heard published;  // by relaxed writes, since the last fence
  };
  uint32_t number = 0;   // of the block in the grid
  uint32_t stretch = 1;  // between barriers
  Heard heard;           // by all its threads
  std::unordered_map<uint32_t, Fences> threads;

  void barrier();
  void fence(uint32_t thread);  // of the device's scope, or wider
  Heard published() const;      // what the block did before its last barrier, and what it has heard of
};

void join(Heard& into, const Heard& more);

struct Toucher {
  BlockOrder& block;
  uint32_t thread, warp_epoch;
};

// What is remembered is of one launch.
void begin_global_races();
// relaxed: or volatile, or atomic, of the device's scope or wider: no race with others of the kind. Throws Fault.
void check_global_race(uint64_t address, std::size_t bytes, bool reads, bool writes, bool relaxed, Toucher by);

}  // namespace ptx
