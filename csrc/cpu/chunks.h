// One large group in chunks of a fixed length, so that a sum is the same for any number of threads.
#pragma once

#include "cpu/vec.h"
#include "parallel.h"

namespace gapo {
namespace {

inline constexpr int64_t kChunk = 32768;  // rewards: 128 KiB of float, well inside an L2

inline int64_t chunk_count(int64_t n) { return divide_up(n, kChunk); }

// Calls body(chunk, begin, end) for every chunk of [0, n).
template <typename Body>
void for_each_chunk(int64_t n, ParallelFor parallel_for, Body body) {
  parallel_for(chunk_count(n), 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * kChunk;
      body(chunk, begin, begin + kChunk < n ? begin + kChunk : n);
    }
  });
}

}  // namespace
}  // namespace gapo
