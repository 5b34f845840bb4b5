// Threads, warps and blocks that run a kernel's instructions, one thread at a time.
//
// A warp runs until all its threads have to wait: for its lanes at a shuffle, a vote or a bar.warp.sync, or for its
// block at a barrier. Threads at the same instruction take it one after the other, since what to do is looked up once
// then, and those that are behind catch up first: a thread that waits in a loop for another of its warp waits for ever.
// That is one of the orders a GPU may take; which thread goes first changes from stretch to stretch.
#pragma once

#include <cstring>
#include <memory>

#include "memory.h"
#include "module.h"
#include "races.h"

namespace ptx {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

struct Launch {
  const Kernel* kernel;
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;
  const void* const* arguments = nullptr;  // one for each parameter
  bool cooperative = false;                // all blocks run at once
  uint32_t cluster = 1;                    // as many neighbours do in any case, and have a barrier of their own
  bool early = false;                      // begins before what came before it has ended, and has to wait for that
  bool beside = false;                     // early, and runs beside the launch before it: only one block has to wait
};

// Runs it to its end. Throws Fault with the place where it may not go on. With GAPO_PTX_COUNT set it prints how
// many instructions were run.
void run(const Launch& launch);

struct Block;
struct Thread;

void arrive_at_cluster(Thread& t, const Instruction&);

struct Thread {
  uint64_t* cells[2];  // registers, whose cells have the other lanes' between them, and constants
  Block* block;
  uint32_t number;  // in the block
  uint32_t at = 0;  // the next instruction
  enum class State { kReady, kAtWarp, kAtBarrier, kDone } state = State::kReady;
  bool may_go_on;            // all that came before on the stream has ended, and is seen
  bool has_arrived = false;  // at the cluster's barrier, for which it has not waited yet

  uint64_t bits(const Operand& o) const { return cells[o.constant][o.index]; }
  template <typename T>
  T get(const Operand& o) const {
    const uint64_t cell = bits(o);
    T value;
    std::memcpy(&value, &cell, sizeof(T));
    return value;
  }
  bool skips(const Instruction& i) const { return i.guard >= 0 && (cells[0][i.guard] != 0) == i.guard_negated; }
  bool predicate(const Operand& o) const { return (bits(o) != 0) != o.negated; }
  template <typename T>
  void put(const Operand& o, T value) {
    uint64_t cell = 0;
    std::memcpy(&cell, &value, sizeof(T));
    cells[0][o.index] = cell;
  }
  // The register may be wider than the type: an integer's sign goes all the way up.
  template <typename T>
  void put_extended(const Operand& o, T value) {
    if constexpr (std::is_integral_v<T>) {
      put<uint64_t>(o, static_cast<uint64_t>(static_cast<int64_t>(value)));
    } else {
      put<T>(o, value);
    }
  }
};

// Threads of a warp that are at the same instruction.
struct Group {
  Thread* threads[kWarpSize];
  uint32_t count = 0;
  Thread* current = nullptr;  // whose turn it is
};

// Runs an instruction of a thread for each that does not skip it.
template <void (*kRun)(Thread&, const Instruction&)>
void each(Group& group, const Instruction& i) {
  for (uint32_t n = 0; n < group.count; ++n) {
    group.current = group.threads[n];
    if (!group.current->skips(i)) kRun(*group.threads[n], i);
  }
}

// The lanes of a warp that meet at one instruction.
struct Warp {
  Thread* lanes;  // 32, of which count exist
  int count;
  uint32_t* epoch;  // how often its lanes have been ordered by a bar.warp.sync
};

// The barrier of a cluster: its n-th meeting is complete with n times its threads.
struct Cluster {
  uint64_t threads, arrivals = 0;
  Heard published[2];  // by those who arrived at an even or an odd meeting, of which no more than two are under way
};

struct Block {
  const Launch* launch;
  Cluster* cluster;
  uint64_t meetings = 0;  // of the cluster, that this block has waited for
  Dim3 index;
  std::vector<Thread> threads;
  std::vector<uint64_t> registers;
  std::vector<unsigned char> local, parameters;
  SharedMemory shared;
  std::vector<uint32_t> warp_epochs;
  BlockOrder order;
  uint32_t turn = 0;        // which thread goes first
  bool has_waited = false;  // any thread, at a griddepcontrol.wait
};

}  // namespace ptx
