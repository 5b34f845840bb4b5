// The memories of a launch, and what may not happen to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ptx {

// Shared memory of a block: its bytes, and for each who touched it last. A byte that nobody wrote may not be read; two
// threads that touch it, one of them writing, have to be kept apart by a barrier of the block or, within a warp, by a
// bar.warp.sync.
class SharedMemory {
 public:
  // Room for a new block, nothing of it written yet.
  void begin(std::size_t bytes);

  struct Access {
    bool reads, writes;
    bool atomic;  // or relaxed, or volatile: no race with others of the kind
  };
  // thread: its number in the block; warp_epoch: of its warp; value: what a plain write is about to put there, since
  // writing what another thread has just written is no race. Throws Fault.
  void touch(uint64_t address, std::size_t bytes, Access access, uint32_t thread, uint32_t warp_epoch,
             const unsigned char* value);
  // Whether it is these bytes' address in the host's memory.
  bool holds(const void* place) const;

  unsigned char* data() { return bytes_.data(); }
  void barrier() { ++epoch_; }

 private:
  struct Touch {
    uint32_t block_epoch = 0, warp_epoch = 0;
    int32_t thread = 0, warp = 0;  // or several
    bool atomic = false;
  };
  bool ordered(const Touch& before, uint32_t thread, uint32_t warp_epoch) const;

  std::vector<unsigned char> bytes_;
  std::vector<Touch> written_, read_;
  uint32_t epoch_ = 0, first_epoch_ = 0;  // between barriers: now, and at this block's begin
};

// Global memory, as far as its allocations are known. What follows is of a new launch, or of what else comes on the
// stream; the allocations that the one before touched are remembered.
void begin_globals();
// Throws Fault unless all of it lies in one allocation. beside: this launch runs at the same time as the one before.
void touch_global(uint64_t address, std::size_t bytes, SharedMemory::Access access, bool beside);

}  // namespace ptx
