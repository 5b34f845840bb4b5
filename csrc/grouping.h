// Which rows belong to which group: how unordered ids become groups that lie one after the other. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "parallel.h"

namespace gapo {

inline constexpr int64_t kRowGrain = 32768;  // rows a thread should at least move or count

// Where every row goes so that those of one group lie together, in the caller's order, and behind all groups those that
// are left out. Place: uint32_t, or int64_t for 2^32 rows and more.
template <typename Place>
struct Grouping {
  std::vector<int64_t> offsets;           // [groups + 1]: group g takes the places offsets[g] .. offsets[g+1]
  std::unique_ptr<Place[]> place_of_row;  // [all rows]
  std::unique_ptr<Place[]> group_of_row;  // [all rows], of those left out too

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

// ids: [n], any values; valid: [n] or null. The groups are in the order of their ids or of their first rows; no result
// depends on it, nor anything on the number of threads.
template <typename Place>
Grouping<Place> group_by_id(const int64_t* ids, int64_t n, const bool* valid, const Threads& threads);

// The groups' bounds, [groups + 1], if the rows of each id lie together already; nullopt if they do not, or if the
// batch begins with many groups of one row.
std::optional<std::vector<int64_t>> contiguous_offsets(const int64_t* ids, int64_t n);

}  // namespace gapo
