// A block of GPU threads on the CPU: one fiber a thread, which give way to one another at every shuffle and barrier. It
// has the members of gapo::cuda::Thread, so that the kernels' own templates run on it.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>

struct Fiber {
  static int index();

  template <typename T>
  static T from(T value, int lane) {
    static_assert(sizeof(T) <= 8);
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = exchange(bits, lane);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
  }
  template <typename T>
  static T partner(T value, int mask) {
    return from(value, index() % 32 ^ mask);
  }
  static uint32_t ballot(bool condition);
  static void sync_warp();
  static void sync_block();

 private:
  static uint64_t exchange(uint64_t bits, int lane);  // what the warp's lane brought to the same call
};

// Runs body in every thread of a block of whole warps; aborts where some wait for others that never come.
void run_block(int threads, const std::function<void()>& body);
