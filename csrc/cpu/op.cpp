#include "cpu/op.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <type_traits>
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

// Without a branch, which compilers like to make of a condition.
template <typename T>
T value_or_zero(T value, bool is_value) {
  using Bits = std::conditional_t<sizeof(T) == sizeof(uint32_t), uint32_t, uint64_t>;
  return std::bit_cast<T>(std::bit_cast<Bits>(value) & (Bits{0} - Bits{is_value}));
}

// Moves each group's valid rewards together, in order; the others get 0. Where there are holes, a step is the same for
// both kinds of reward: a branch on a mask without a pattern would be mispredicted, which takes longer than many steps.
template <typename T>
void compacted_advantage(const Rule& rule, const Groups<T>& groups, const bool* valid, const Output<T>& out,
                         const Threads& threads) {
  const int64_t all = groups.offset(groups.count);
  const int64_t grain = kRowGrain * groups.count / (all + 1) + 1;
  const auto* bytes = reinterpret_cast<const unsigned char*>(valid);  // a bool of torch may be any byte but 0
  std::vector<int64_t> offsets(groups.count + 1);
  for (int64_t g = 0; g < groups.count; ++g) {
    const int64_t holes = std::count(bytes + groups.offset(g), bytes + groups.offset(g + 1), 0);
    offsets[g + 1] = offsets[g] + groups.size(g) - holes;
  }
  if (offsets.back() == all) return contiguous_advantage(rule, groups, nullptr, out, threads);
  // visit(begin, end, place, place_end): a group, and where its valid rewards lie in the copy
  const auto for_each_group = [&](auto visit) {
    threads.parallel_for(groups.count, grain, [&](int64_t first, int64_t last) {
      for (int64_t g = first; g < last; ++g) visit(groups.offset(g), groups.offset(g + 1), offsets[g], offsets[g + 1]);
    });
  };
  const auto gather = [&](T* kept) {
    for_each_group([&](int64_t begin, int64_t end, int64_t place, int64_t place_end) {
      const T* const rewards = groups.rewards;
      if (end - begin == place_end - place) {
        std::copy(rewards + begin, rewards + end, kept + place);
        return;
      }
      for (int64_t i = begin; place < place_end; ++i) {  // behind the end are another thread's
        kept[place] = rewards[i];
        place += bytes[i] != 0;
      }
    });
  };
  const auto scatter = [&](const T* advantage) {
    for_each_group([&](int64_t begin, int64_t end, int64_t place, int64_t place_end) {
      if (end - begin == place_end - place) {
        std::copy(advantage + place, advantage + place_end, out.advantage + begin);
        return;
      }
      for (int64_t i = begin; i < end; ++i) {
        const bool is_kept = bytes[i] != 0;
        out.advantage[i] = value_or_zero(advantage[place], is_kept);  // of holes at the very end: what lies behind
        place += is_kept;
      }
    });
  };
  advantage_of_copy(rule, offsets, 1, out.stats, threads, gather, scatter);
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
