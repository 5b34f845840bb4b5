#include "cpu/op.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

namespace gapo {
namespace {

template <typename T>
void run(const Rule& rule, const Groups<T>& groups, const Output<T>& out, const Threads& threads) {
  if constexpr (sizeof(T) == sizeof(float)) {
    backend().advantage_float(rule, groups, out, threads);
  } else {
    backend().advantage_double(rule, groups, out, threads);
  }
}

template <typename T>
void fill_with_nan(T* stats, int64_t groups) {
  if (stats) std::fill(stats, stats + kStatistics * groups, std::numeric_limits<T>::quiet_NaN());
}

// Computes on a copy of the rewards in which each group's lie together: gather(rewards) makes it, scatter(advantage)
// puts the result back. offsets: [groups + 1], of the copy; others: rewards behind the groups, whose advantage is 0;
// stats: [groups, 4] or null.
template <typename T, typename Gather, typename Scatter>
void advantage_of_copy(const Rule& rule, const std::vector<int64_t>& offsets, int64_t others, T* stats,
                       const Threads& threads, Gather gather, Scatter scatter) {
  const auto groups = static_cast<int64_t>(offsets.size()) - 1;
  const int64_t kept = offsets.back();
  const auto memory = std::make_unique_for_overwrite<T[]>(2 * (kept + others));
  T* const rewards = memory.get();
  T* const advantage = rewards + kept + others;
  std::fill_n(advantage + kept, others, T{0});
  gather(rewards);
  fill_with_nan(stats, groups);
  run<T>(rule, {rewards, offsets.data(), 0, groups}, {advantage, stats}, threads);
  scatter(advantage);
}

// Brings each group's rows together.
template <typename T, typename Place>
void gathered_advantage(const Rule& rule, const T* rewards, const Grouping<Place>& grouping, int64_t n,
                        const Output<T>& out, const Threads& threads) {
  const Place* const places = grouping.place_of_row.get();
  const auto gather = [&](T* gathered) {
    threads.parallel_for(n, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) gathered[places[row]] = rewards[row];
    });
  };
  const auto scatter = [&](const T* advantage) {
    threads.parallel_for(n, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) out.advantage[row] = advantage[places[row]];
    });
  };
  advantage_of_copy(rule, grouping.offsets, n - grouping.offsets.back(), out.stats, threads, gather, scatter);
}

// How many of the bytes are not 0.
int64_t count_set(const uint8_t* bytes, int64_t n) {
  constexpr uint64_t low_bits = 0x7f7f7f7f7f7f7f7f;
  int64_t count = 0;
  for (uint64_t word; n >= int64_t{sizeof(word)}; n -= sizeof(word), bytes += sizeof(word)) {
    std::memcpy(&word, bytes, sizeof(word));
    count += std::popcount((((word & low_bits) + low_bits) | word) & ~low_bits);
  }
  return count + n - std::count(bytes, bytes + n, 0);
}

// Moves the valid rewards together, in order; the others get 0.
template <typename T>
void compacted_advantage(const Rule& rule, const Groups<T>& groups, const bool* valid, const Output<T>& out,
                         const Threads& threads) {
  const int64_t all = groups.offset(groups.count);
  const int64_t grain = kRowGrain * groups.count / (all + 1) + 1;
  const auto* kept = reinterpret_cast<const uint8_t*>(valid);  // a bool of torch may be any byte but 0
  std::vector<int64_t> offsets(groups.count + 1);
  threads.parallel_for(groups.count, grain, [&](int64_t first, int64_t last) {
    for (int64_t g = first; g < last; ++g) offsets[g + 1] = count_set(kept + groups.offset(g), groups.size(g));
  });
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  if (offsets.back() == all) return contiguous_advantage(rule, groups, nullptr, out, threads);

  const auto& moves = std::get<MaskMoves<T>>(backend().mask_moves);
  const auto gather = [&](T* packed) {
    threads.parallel_for(groups.count, grain, [&](int64_t first, int64_t last) {
      moves.compress(groups.begin(first), kept + groups.offset(first), packed + offsets[first],
                     offsets[last] - offsets[first]);
    });
  };
  const auto scatter = [&](const T* advantage) {
    threads.parallel_for(groups.count, grain, [&](int64_t first, int64_t last) {
      const int64_t begin = groups.offset(first);
      moves.expand(advantage + offsets[first], kept + begin, out.advantage + begin, groups.offset(last) - begin);
    });
  };
  advantage_of_copy(rule, offsets, kReadAhead, out.stats, threads, gather, scatter);
}

}  // namespace

template <typename T>
void contiguous_advantage(const Rule& rule, const Groups<T>& groups, const bool* valid, const Output<T>& out,
                          const Threads& threads) {
  if (valid) return compacted_advantage(rule, groups, valid, out, threads);
  fill_with_nan(out.stats, groups.count);
  run(rule, groups, out, threads);
}

template <typename T>
void advantage_by_id(const Rule& rule, const T* rewards, const int64_t* ids, int64_t n, const bool* valid,
                     const Output<T>& out, const Threads& threads) {
  std::vector<T> stats;
  const auto by_group = [&](int64_t groups) {
    if (out.stats) stats.resize(kStatistics * groups);
    return Output<T>{out.advantage, out.stats ? stats.data() : nullptr};
  };
  const auto report = [&](int64_t row, int64_t g) {
    std::copy_n(stats.data() + kStatistics * g, kStatistics, out.stats + kStatistics * row);
  };
  const auto in_no_order = [&](auto place) {
    const auto grouping = group_by_id<decltype(place)>(ids, n, valid, threads);
    gathered_advantage(rule, rewards, grouping, n, by_group(grouping.count()), threads);
    for (int64_t row = 0; out.stats && row < n; ++row) report(row, grouping.group_of_row[row]);
  };

  if (const auto offsets = contiguous_offsets(ids, n)) {
    const Groups<T> groups{rewards, offsets->data(), 0, static_cast<int64_t>(offsets->size()) - 1};
    contiguous_advantage(rule, groups, valid, by_group(groups.count), threads);
    for (int64_t g = 0; out.stats && g < groups.count; ++g) {
      for (int64_t row = groups.offset(g); row < groups.offset(g + 1); ++row) report(row, g);
    }
  } else if (n <= std::numeric_limits<uint32_t>::max()) {
    in_no_order(uint32_t{});
  } else {
    in_no_order(int64_t{});
  }
}

template <typename Token>
void token_advantage(const Rule& rule, Matrix<const Token> tokens, const Mask& mask, const int64_t* ids, int64_t rows,
                     int64_t length, const bool* valid, Token* out, const Threads& threads) {
  using T = Computed<Token>;
  const auto& passes = std::get<TokenPasses<Token>>(backend().tokens);
  std::vector<T> rewards(rows), advantage(rows);
  passes.row_sums(tokens, rows, length, rewards.data(), threads.parallel_for);
  advantage_by_id<T>(rule, rewards.data(), ids, rows, valid, {advantage.data(), nullptr}, threads);
  passes.broadcast(advantage.data(), mask, rows, length, out, threads.parallel_for);
}

#define GAPO_INSTANTIATE(T)                                                                                            \
  template void contiguous_advantage<T>(const Rule&, const Groups<T>&, const bool*, const Output<T>&, const Threads&); \
  template void advantage_by_id<T>(const Rule&, const T*, const int64_t*, int64_t, const bool*, const Output<T>&,      \
                                   const Threads&);
GAPO_INSTANTIATE(float)
GAPO_INSTANTIATE(double)
#undef GAPO_INSTANTIATE

#define GAPO_INSTANTIATE(Token)                                                                                \
  template void token_advantage<Token>(const Rule&, Matrix<const Token>, const Mask&, const int64_t*, int64_t, \
                                       int64_t, const bool*, Token*, const Threads&);
GAPO_INSTANTIATE(float)
GAPO_INSTANTIATE(double)
GAPO_INSTANTIATE(Float16)
GAPO_INSTANTIATE(BFloat16)
#undef GAPO_INSTANTIATE

}  // namespace gapo
