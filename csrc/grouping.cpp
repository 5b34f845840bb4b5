#include "grouping.h"

#include <algorithm>
#include <utility>

#include "hash.h"

namespace gapo {
namespace {

// Numbers the distinct ids 0, 1, 2, … in the order in which they come first, by open addressing. The table grows with
// the ids, not with the rows, since every row looks into it.
class IdNumbers {
 public:
  int64_t operator()(int64_t id) {
    if (2 * count_ > static_cast<int64_t>(slots_.size())) grow();
    Slot& slot = find(id);
    if (slot.number < 0) slot = {id, count_++};
    return slot.number;
  }
  int64_t count() const { return count_; }

 private:
  struct Slot {
    int64_t id = 0, number = -1;
  };

  Slot& find(int64_t id) {
    std::size_t place = mixed(static_cast<uint64_t>(id)) & (slots_.size() - 1);
    while (slots_[place].number >= 0 && slots_[place].id != id) place = (place + 1) & (slots_.size() - 1);
    return slots_[place];
  }

  void grow() {
    const std::vector<Slot> before = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : before) {
      if (slot.number >= 0) find(slot.id) = slot;
    }
  }

  std::vector<Slot> slots_{1024};
  int64_t count_ = 0;
};

// Neighbouring rows, cut into as many parts as there are threads, if each has enough rows and they outnumber the
// groups.
struct Parts {
  int64_t rows, count;
  ParallelFor parallel_for;

  Parts(int64_t n, int64_t groups, const Threads& threads)
      : rows(n),
        count(std::clamp(n / std::max(kRowGrain, 4 * groups), int64_t{1}, threads.count)),
        parallel_for(threads.parallel_for) {}

  // visit(part, begin, end)
  template <typename Visit>
  void each(Visit visit) const {
    parallel_for(count, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) visit(part, begin(part), begin(part + 1));
    });
  }

 private:
  int64_t begin(int64_t part) const { return rows / count * part + std::min(part, rows % count); }
};

// Fills group_of_row; returns the number of groups.
template <typename Place>
int64_t number_groups(const int64_t* ids, int64_t n, Place* group_of_row, const Threads& threads) {
  int64_t low = ids[0], high = ids[0];
  for (int64_t row = 0; row < n; ++row) {
    low = std::min(low, ids[row]);
    high = std::max(high, ids[row]);
  }
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (span < static_cast<uint64_t>(2 * n + 1024)) {  // dense ids number themselves; unused ones are empty groups
    threads.parallel_for(n, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) group_of_row[row] = static_cast<Place>(ids[row] - low);
    });
    return static_cast<int64_t>(span) + 1;
  }
  IdNumbers number;
  for (int64_t row = 0; row < n; ++row) group_of_row[row] = static_cast<Place>(number(ids[row]));
  return number.count();
}

// Fills offsets and place_of_row from group_of_row: a counting sort, stable. Rows left out are a last group.
template <typename Place>
void place_rows(Grouping<Place>& grouping, int64_t n, int64_t groups, const bool* valid, const Threads& threads) {
  const Parts parts(n, groups, threads);
  const Place* const group_of_row = grouping.group_of_row.get();
  const auto* kept = reinterpret_cast<const unsigned char*>(valid);  // a bool of torch may be any byte but 0
  const auto key = [&](int64_t row) {
    return kept == nullptr || kept[row] != 0 ? group_of_row[row] : static_cast<Place>(groups);
  };
  std::vector<Place> next(parts.count * (groups + 1));  // [parts, groups + 1]: counts, then places
  parts.each([&](int64_t part, int64_t begin, int64_t end) {
    Place* const counts = next.data() + part * (groups + 1);
    for (int64_t row = begin; row < end; ++row) ++counts[key(row)];
  });
  grouping.offsets.resize(groups + 1);
  int64_t place = 0;
  for (int64_t g = 0; g <= groups; ++g) {
    grouping.offsets[g] = place;
    for (int64_t part = 0; part < parts.count; ++part) {
      place += std::exchange(next[part * (groups + 1) + g], static_cast<Place>(place));
    }
  }
  parts.each([&](int64_t part, int64_t begin, int64_t end) {
    Place* const places = next.data() + part * (groups + 1);
    for (int64_t row = begin; row < end; ++row) grouping.place_of_row[row] = places[key(row)]++;
  });
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
    IdNumbers number;
    int64_t runs = 0;
    const auto is_new = [&](int64_t row) { return number(ids[row]) == runs++; };
    if (!std::all_of(offsets.begin(), offsets.end(), is_new)) return std::nullopt;
  }
  offsets.push_back(n);
  return offsets;
}

template <typename Place>
Grouping<Place> group_by_id(const int64_t* ids, int64_t n, const bool* valid, const Threads& threads) {
  Grouping<Place> grouping;
  grouping.group_of_row = std::make_unique_for_overwrite<Place[]>(n);
  grouping.place_of_row = std::make_unique_for_overwrite<Place[]>(n);
  const int64_t groups = n > 0 ? number_groups(ids, n, grouping.group_of_row.get(), threads) : 0;
  place_rows(grouping, n, groups, valid, threads);
  return grouping;
}

template Grouping<uint32_t> group_by_id(const int64_t*, int64_t, const bool*, const Threads&);
template Grouping<int64_t> group_by_id(const int64_t*, int64_t, const bool*, const Threads&);

}  // namespace gapo
