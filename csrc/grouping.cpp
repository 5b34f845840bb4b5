#include "grouping.h"

#include <algorithm>
#include <bit>

namespace gapo {
namespace {

// The rows that were the first of their id, by open addressing.
class FirstRows {
 public:
  // ids: [at least every row asked for]; most: how many rows will be asked for.
  FirstRows(const int64_t* ids, int64_t most)
      : ids_(ids),
        row_(std::bit_ceil(static_cast<std::size_t>(2 * most)), -1),
        shift_(64 - std::countr_zero(row_.size())) {}

  // The first row asked for that has the id of this one; the row itself where none had.
  int64_t operator()(int64_t row) {
    // Fibonacci hashing: the high bits of the product are well mixed. The shift keeps an id's multiples from lying side
    // by side whatever the id is.
    constexpr uint64_t golden = 0x9E3779B97F4A7C15u;
    const auto id = static_cast<uint64_t>(ids_[row]);
    std::size_t slot = ((id ^ id >> 29) * golden) >> shift_;
    while (row_[slot] >= 0 && ids_[row_[slot]] != ids_[row]) slot = (slot + 1) & (row_.size() - 1);
    if (row_[slot] < 0) row_[slot] = row;
    return row_[slot];
  }

 private:
  const int64_t* ids_;
  std::vector<int64_t> row_;
  int shift_;
};

// Numbers the distinct ids 0, 1, 2, … in the order of their first rows.
int64_t number_by_first_row(const int64_t* ids, int64_t n, std::vector<int64_t>& number) {
  FirstRows first_row(ids, n);
  int64_t count = 0;
  for (int64_t row = 0; row < n; ++row) {
    const int64_t first = first_row(row);
    number[row] = first == row ? count++ : number[first];
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

std::optional<std::vector<int64_t>> contiguous_offsets(const int64_t* ids, int64_t n) {
  std::vector<int64_t> offsets;
  bool ascending = true;
  for (int64_t row = 0; row < n; ++row) {
    if (row > 0 && ids[row] == ids[row - 1]) continue;
    if (2 * static_cast<int64_t>(offsets.size()) > row + 64) return std::nullopt;  // runs this short: not grouped
    ascending = ascending && (row == 0 || ids[row] > ids[row - 1]);
    offsets.push_back(row);
  }
  if (!ascending) {
    FirstRows first_row(ids, static_cast<int64_t>(offsets.size()));
    const auto is_new = [&](int64_t row) { return first_row(row) == row; };
    if (!std::all_of(offsets.begin(), offsets.end(), is_new)) return std::nullopt;
  }
  offsets.push_back(n);
  return offsets;
}

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
