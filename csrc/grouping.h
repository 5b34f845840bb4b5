// Which rows belong to which group, as lists: how unordered ids become groups that lie one after the other. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace gapo {

// The rows of group g are rows[offsets[g] .. offsets[g+1]), in the caller's order; rows left out are in none.
struct Grouping {
  std::vector<int64_t> rows;
  std::vector<int64_t> offsets;       // [groups + 1]
  std::vector<int64_t> group_of_row;  // [all rows], of those left out too

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

// ids: [n], any values; valid: [n] or null. The groups are in the order of their ids or of their first rows; no result
// depends on it.
Grouping group_by_id(const int64_t* ids, int64_t n, const bool* valid);

// The groups' bounds, [groups + 1], if the rows of each id lie together already; nullopt if they do not, or if the
// batch begins with many groups of one row.
std::optional<std::vector<int64_t>> contiguous_offsets(const int64_t* ids, int64_t n);

}  // namespace gapo
