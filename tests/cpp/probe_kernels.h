// Builds the probe of one instruction set; each probe_*.cpp includes it once, after it has chosen the target.
#pragma once

#include "cpu/kernels.h"
#include "probe.h"

namespace gapo {
namespace {

static_assert(kBlock <= kMaxBlock);

inline int64_t whole_blocks(int64_t rows) { return (rows + kBlock - 1) / kBlock * kBlock; }

// Runs the body on an aligned copy of the rows, as the kernels keep them.
template <typename T, typename Body>
void on_copy(T* rows, int64_t count, Body body) {
  Buffer<Vec<T>> copy(count);
  std::memcpy(copy.data(), rows, static_cast<std::size_t>(count) * sizeof(Vec<T>));
  body(copy.data());
  std::memcpy(rows, copy.data(), static_cast<std::size_t>(count) * sizeof(Vec<T>));
}

template <typename T, int N>
void run_sort_network(T* rows) {
  on_copy(rows, N, [](Vec<T>* copy) { run_on_rows<kSortNetwork<N>, N>(copy); });
}

template <typename T, int N>
void run_merge_network(T* rows) {
  on_copy(rows, N, [](Vec<T>* copy) { run_on_rows<kMergeNetwork<N>, N>(copy); });
}

template <typename T, int N>
void run_run_merge_network(T* rows) {
  on_copy(rows, N, [](Vec<T>* copy) { run_on_rows<kRunMergeNetwork<N>, N>(copy); });
}

template <typename T>
void run_sort_columns(T* columns, int64_t rows) {
  on_copy(columns, whole_blocks(rows), [&](Vec<T>* copy) { sort_columns(copy, rows); });
}

template <typename T>
void load_batch(const Batch<T>& batch, T* columns) {
  on_copy(columns, whole_blocks(batch.rows), [&](Vec<T>* copy) { load_columns(batch, copy); });
}

template <typename T>
void load_equal(const T* rewards, int64_t size, int count, T* columns) {
  Batch<T> batch;
  batch.set_equal(rewards, size, count, 1);
  load_batch(batch, columns);
}

template <typename T>
void load_any(const T* const* groups, const int64_t* sizes, int count, T* columns) {
  Batch<T> batch;
  for (int i = 0; i < count; ++i) batch.add(groups[i], sizes[i], 0.5);
  batch.fill_lanes();
  load_batch(batch, columns);
}

template <typename T>
int64_t rank(const T* rewards, int64_t n, int64_t k, bool with_median, ParallelFor parallel_for, const int64_t* ranks,
             int64_t count, double* values) {
  RankedGroup<T> ranked(rewards, n, chunked_range(rewards, n, parallel_for), parallel_for);
  const int64_t start = k > 0 ? ranked.narrowest_window(k, with_median) : -1;
  for (int64_t i = 0; i < count; ++i) values[i] = ranked[ranks[i]];
  return start;
}

template <typename T, int N = 2>
constexpr void add_networks(TypedProbe<T>& probe) {
  if constexpr (N <= kBlock) {
    probe.sort_network[N] = run_sort_network<T, N>;
    constexpr bool power_of_two = (N & (N - 1)) == 0;
    if constexpr (power_of_two) probe.run_merge_network[N] = run_run_merge_network<T, N>;
    if constexpr (power_of_two || (N >= 5 * kStep && N % kStep == 0)) probe.merge_network[N] = run_merge_network<T, N>;
    add_networks<T, N + 1>(probe);
  }
}

template <typename T>
constexpr TypedProbe<T> make_typed_probe() {
  TypedProbe<T> probe{kLanes<T>, {}, {}, {}, run_sort_columns<T>, load_equal<T>, load_any<T>, sort_group<T>, rank<T>};
  add_networks(probe);
  return probe;
}

constexpr Probe make_probe() { return {kBlock, make_typed_probe<float>(), make_typed_probe<double>()}; }

}  // namespace
}  // namespace gapo
