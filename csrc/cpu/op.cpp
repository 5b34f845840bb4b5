#include "cpu/op.h"

#include <algorithm>
#include <limits>

namespace gapo {
namespace {

constexpr int64_t kRowGrain = 32768;  // rows a thread should at least copy

template <typename T>
void run(const Rule& rule, const Groups<T>& groups, const Output<T>& out, const Threads& threads) {
  if constexpr (sizeof(T) == sizeof(float)) {
    backend().advantage_float(rule, groups, out, threads);
  } else {
    backend().advantage_double(rule, groups, out, threads);
  }
}

template <typename T>
void forget(T* stats, int64_t groups) {
  if (stats) std::fill(stats, stats + 4 * groups, std::numeric_limits<T>::quiet_NaN());
}

// Brings each group's rows together, computes, and puts the advantages back; rows in no group get 0.
template <typename T>
void gathered_advantage(const Rule& rule, const T* rewards, const Grouping& grouping, const Output<T>& out,
                        const Threads& threads) {
  const auto kept = static_cast<int64_t>(grouping.rows.size());
  const auto all = static_cast<int64_t>(grouping.group_of_row.size());
  const int64_t* rows = grouping.rows.data();
  std::vector<T> memory(2 * kept);
  T* const gathered = memory.data();
  T* const advantage = gathered + kept;
  threads.parallel_for(kept, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) gathered[i] = rewards[rows[i]];
  });
  forget(out.stats, grouping.count());
  run<T>(rule, {gathered, grouping.offsets.data(), 0, grouping.count()}, {advantage, out.stats}, threads);
  if (kept < all) std::fill(out.advantage, out.advantage + all, T{0});
  threads.parallel_for(kept, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out.advantage[rows[i]] = advantage[i];
  });
}

}  // namespace

template <typename T>
void contiguous_advantage(const Rule& rule, const Groups<T>& groups, const bool* valid, const Output<T>& out,
                          const Threads& threads) {
  if (valid == nullptr) {
    forget(out.stats, groups.count);
    return run(rule, groups, out, threads);
  }
  std::vector<int64_t> offsets(groups.count + 1);
  for (int64_t g = 0; g <= groups.count; ++g) offsets[g] = groups.offset(g);
  gathered_advantage(rule, groups.rewards, group_by_offsets(offsets.data(), groups.count, valid), out, threads);
}

template <typename T>
void advantage_by_id(const Rule& rule, const T* rewards, const int64_t* ids, int64_t n, const bool* valid,
                     const Output<T>& out, const Threads& threads) {
  const Grouping grouping = group_by_id(ids, n, valid);
  if (out.stats == nullptr) return gathered_advantage(rule, rewards, grouping, out, threads);
  std::vector<T> stats(4 * grouping.count());
  gathered_advantage(rule, rewards, grouping, {out.advantage, stats.data()}, threads);
  for (int64_t row = 0; row < n; ++row) {
    std::copy_n(stats.data() + 4 * grouping.group_of_row[row], 4, out.stats + 4 * row);
  }
}

template <typename T>
void token_advantage(const Rule& rule, const T* tokens, const void* mask, MaskType mask_type, const int64_t* ids,
                     int64_t rows, int64_t length, const bool* valid, T* out, const Threads& threads) {
  std::vector<T> rewards(rows), advantage(rows);
  const auto pass = [&](auto row_sums, auto broadcast) {
    row_sums(tokens, rows, length, rewards.data(), threads.parallel_for);
    advantage_by_id<T>(rule, rewards.data(), ids, rows, valid, {advantage.data(), nullptr}, threads);
    broadcast(advantage.data(), mask, mask_type, rows, length, out, threads.parallel_for);
  };
  if constexpr (sizeof(T) == sizeof(float)) {
    pass(backend().row_sums_float, backend().broadcast_float);
  } else {
    pass(backend().row_sums_double, backend().broadcast_double);
  }
}

#define GAPO_INSTANTIATE(T)                                                                                            \
  template void contiguous_advantage<T>(const Rule&, const Groups<T>&, const bool*, const Output<T>&, const Threads&); \
  template void advantage_by_id<T>(const Rule&, const T*, const int64_t*, int64_t, const bool*, const Output<T>&,      \
                                   const Threads&);                                                                    \
  template void token_advantage<T>(const Rule&, const T*, const void*, MaskType, const int64_t*, int64_t, int64_t,     \
                                   const bool*, T*, const Threads&);
GAPO_INSTANTIATE(float)
GAPO_INSTANTIATE(double)
#undef GAPO_INSTANTIATE

}  // namespace gapo
