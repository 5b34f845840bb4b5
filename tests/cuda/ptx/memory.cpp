#include <dlfcn.h>

#include <map>
#include <utility>

#include "machine.h"

namespace ptx {
namespace {

constexpr int32_t kSeveral = -1;

// Allocations by their address: whether they were written.
using Touched = std::map<uint64_t, bool>;

Touched& touched() {
  static Touched now;
  return now;
}
Touched& touched_before() {
  static Touched before;
  return before;
}

}  // namespace

void SharedMemory::begin(std::size_t bytes) {
  bytes_.resize(bytes);
  written_.resize(bytes);
  read_.resize(bytes);
  first_epoch_ = ++epoch_;  // what earlier blocks did is older
}

bool SharedMemory::holds(const void* place) const {
  const auto* byte = static_cast<const unsigned char*>(place);
  return byte >= bytes_.data() && byte < bytes_.data() + bytes_.size();
}

bool SharedMemory::ordered(const Touch& before, uint32_t thread, uint32_t warp_epoch) const {
  if (before.block_epoch != epoch_ || before.thread == static_cast<int32_t>(thread)) return true;
  return before.warp == static_cast<int32_t>(thread / kWarpSize) && before.warp_epoch != warp_epoch;
}

void SharedMemory::touch(uint64_t address, std::size_t bytes, Access access, uint32_t thread, uint32_t warp_epoch,
                         const unsigned char* value) {
  const auto place = [&] {
    return " at shared address " + std::to_string(address) + " of " + std::to_string(bytes_.size());
  };
  if (address > bytes_.size() || bytes > bytes_.size() - address) throw Fault("out of bounds" + place());
  const auto warp = static_cast<int32_t>(thread / kWarpSize);
  const Touch touch{epoch_, warp_epoch, static_cast<int32_t>(thread), warp, access.atomic};
  for (std::size_t i = address; i < address + bytes; ++i) {
    Touch& written = written_[i];
    Touch& read = read_[i];
    const bool atomics = touch.atomic && written.atomic;
    const bool same = value && value[i - address] == bytes_[i];
    if (!atomics && !same && !ordered(written, thread, warp_epoch)) {
      throw Fault("a race with what thread " + std::to_string(written.thread) + " wrote" + place());
    }
    if (access.reads && written.block_epoch < first_epoch_) throw Fault("read before anything was written" + place());
    if (access.writes) {
      if (!(touch.atomic && read.atomic) && !ordered(read, thread, warp_epoch)) {
        throw Fault("a race with what thread " + std::to_string(read.thread) + " read" + place());
      }
      written = touch;
    }
    if (access.reads && !access.writes) {
      // several readers since the last barrier: whoever writes has to be ordered after all of them
      const bool others = !ordered(read, thread, warp_epoch);
      const Touch before = read;
      read = touch;
      if (others) {
        read.thread = kSeveral;
        if (before.warp != warp) read.warp = kSeveral;
        read.atomic = touch.atomic && before.atomic;
      }
    }
  }
}

void begin_globals() {
  touched_before() = std::move(touched());
  touched().clear();
}

void touch_global(uint64_t address, std::size_t bytes, SharedMemory::Access access, bool beside) {
  using Find = uint64_t (*)(uint64_t, std::size_t);
  static const auto find = reinterpret_cast<Find>(dlsym(RTLD_DEFAULT, "gapo_allocation_of"));
  if (!find) return;
  const char* const what = !access.writes ? "a read" : !access.reads ? "a write" : "an atomic";
  const uint64_t allocation = find(address, bytes);
  if (allocation == 0) {
    throw Fault(std::string(what) + " of " + std::to_string(bytes) + " bytes outside every allocation");
  }
  if (beside) {
    const auto before = touched_before().find(allocation);
    if (before != touched_before().end() && (access.writes || before->second)) {
      throw Fault(std::string(what) + " of what the launch that runs beside this one " +
                  (before->second ? "writes" : "reads"));
    }
  }
  touched()[allocation] |= access.writes;
}

}  // namespace ptx
