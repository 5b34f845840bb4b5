// Preloaded: knows what torch's allocator took from posix_memalign, so that the interpreter can tell an access beyond
// it, and fills it with what nobody would take for zeros.
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace {

std::mutex& guard() {
  static auto* mutex = new std::mutex;
  return *mutex;
}
std::map<uint64_t, std::size_t>& allocations() {
  static auto* known = new std::map<uint64_t, std::size_t>;
  return *known;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int posix_memalign(void** place, std::size_t alignment, std::size_t bytes) {
  static const auto real =
      reinterpret_cast<int (*)(void**, std::size_t, std::size_t)>(dlsym(RTLD_NEXT, "posix_memalign"));
  const int status = real(place, alignment, bytes);
  if (status == 0) {
    std::memset(*place, 0xA5, bytes);
    const std::lock_guard lock(guard());
    allocations()[reinterpret_cast<uint64_t>(*place)] = bytes;
  }
  return status;
}

void free(void* place) {
  static const auto real = reinterpret_cast<void (*)(void*)>(dlsym(RTLD_NEXT, "free"));
  thread_local bool inside = false;  // erasing frees as well
  if (place && !inside) {
    inside = true;
    {
      const std::lock_guard lock(guard());
      allocations().erase(reinterpret_cast<uint64_t>(place));
    }
    inside = false;
  }
  real(place);
}

// Where the allocation begins that holds all of it, or 0.
uint64_t gapo_allocation_of(uint64_t address, std::size_t bytes) {
  const std::lock_guard lock(guard());
  auto after = allocations().upper_bound(address);
  if (after == allocations().begin()) return 0;
  const auto& [begin, size] = *--after;
  return address - begin <= size && bytes <= size - (address - begin) ? begin : 0;
}

}  // extern "C"
#pragma GCC visibility pop
