// A ParallelFor that is as unkind as it may be: many small chunks, in odd order, on several threads.
#pragma once

#include <thread>
#include <vector>

#include "cpu/backend.h"

inline int split_threads = 1;  // a ParallelFor is a plain function: it cannot carry a number

inline void split_for(int64_t count, int64_t grain, gapo::RangeBody body) {
  const int64_t chunks = (count + grain - 1) / grain;
  const auto work = [&](int64_t thread) {
    for (int64_t chunk = chunks - 1 - thread; chunk >= 0; chunk -= split_threads) {  // from the last to the first
      const int64_t end = (chunk + 1) * grain;
      body(chunk * grain, end < count ? end : count);
    }
  };
  std::vector<std::thread> threads;
  for (int64_t thread = 1; thread < split_threads && thread < chunks; ++thread) threads.emplace_back(work, thread);
  if (chunks > 0) work(0);
  for (std::thread& thread : threads) thread.join();
}

// The body runs with every number of threads.
template <typename Body>
void with_split_threads(Body body) {
  for (int threads : {1, 2, 4}) {
    split_threads = threads;
    body(gapo::Threads{split_for, threads});
  }
}
