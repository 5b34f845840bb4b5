#include "grouping.h"

#include <algorithm>
#include <bit>

namespace gapo {
namespace {

// Numbers the distinct ids 0, 1, 2, … in the order of their first rows, by open addressing.
int64_t number_by_first_row(const int64_t* ids, int64_t n, std::vector<int64_t>& number) {
  const std::size_t slots = std::bit_ceil(static_cast<std::size_t>(2 * n));
  const int shift = 64 - std::countr_zero(slots);
  constexpr uint64_t golden = 0x9E3779B97F4A7C15u;  // Fibonacci hashing: the high bits of the product are well mixed
  std::vector<int64_t> first_row(slots, -1);
  int64_t count = 0;
  for (int64_t row = 0; row < n; ++row) {
    std::size_t slot = (static_cast<uint64_t>(ids[row]) * golden) >> shift;
    while (first_row[slot] >= 0 && ids[first_row[slot]] != ids[row]) slot = (slot + 1) & (slots - 1);
    if (first_row[slot] < 0) {
      first_row[slot] = row;
      number[row] = count++;
    } else {
      number[row] = number[first_row[slot]];
    }
  }
  return count;
}

// Fills rows and offsets from group_of_row: a counting sort, stable.
void list_rows(Grouping& grouping, int64_t groups, const bool* valid) {
  const auto n = static_cast<int64_t>(grouping.group_of_row.size());
  std::vector<int64_t>& offsets = grouping.offsets;
  offsets.assign(groups + 1, 0);
  const auto kept = [&](int64_t row) { return valid == nullptr || valid[row]; };
  for (int64_t row = 0; row < n; ++row) {
    if (kept(row)) ++offsets[grouping.group_of_row[row] + 1];
  }
  for (int64_t g = 0; g < groups; ++g) offsets[g + 1] += offsets[g];
  grouping.rows.resize(offsets[groups]);
  std::vector<int64_t> next(offsets.begin(), offsets.end() - 1);
  for (int64_t row = 0; row < n; ++row) {
    if (kept(row)) grouping.rows[next[grouping.group_of_row[row]]++] = row;
  }
}

}  // namespace

Grouping group_by_id(const int64_t* ids, int64_t n, const bool* valid) {
  Grouping grouping;
  grouping.group_of_row.resize(n);
  int64_t groups = 0;
  if (n > 0) {
    const auto [low, high] = std::minmax_element(ids, ids + n);
    const uint64_t span = static_cast<uint64_t>(*high) - static_cast<uint64_t>(*low);
    if (span < static_cast<uint64_t>(2 * n + 1024)) {  // dense ids number themselves; unused ones are empty groups
      groups = static_cast<int64_t>(span) + 1;
      std::transform(ids, ids + n, grouping.group_of_row.begin(), [first = *low](int64_t id) { return id - first; });
    } else {
      groups = number_by_first_row(ids, n, grouping.group_of_row);
    }
  }
  list_rows(grouping, groups, valid);
  return grouping;
}

}  // namespace gapo
