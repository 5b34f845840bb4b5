// Ids in no order: what is grouped where, whoever groups it.
#include <algorithm>
#include <map>
#include <utility>

#include "check.h"
#include "grouping.h"
#include "samples.h"
#include "tests.h"

namespace {

// As other threads might: the later parts first.
void backwards(int64_t count, int64_t grain, gapo::RangeBody body) {
  for (int64_t end = count; end > 0; end -= grain) body(std::max<int64_t>(end - grain, 0), end);
}

// Rows by group and in order, then those left out.
template <typename Place>
void check_grouping(const std::vector<int64_t>& ids, const bool* valid, const gapo::Threads& threads) {
  const auto n = static_cast<int64_t>(ids.size());
  const auto grouping = gapo::group_by_id<Place>(ids.data(), n, valid, threads);
  std::vector<int64_t> row_at(n, -1);
  std::map<int64_t, int64_t> group_of_id, id_of_group;
  for (int64_t row = 0; row < n; ++row) {
    const int64_t group = grouping.group_of_row[row];
    row_at.at(grouping.place_of_row[row]) = row;
    CHECK_EQ(group_of_id.emplace(ids[row], group).first->second, group);
    CHECK_EQ(id_of_group.emplace(group, ids[row]).first->second, ids[row]);
  }
  int64_t place = 0;
  for (const auto& [group, id] : id_of_group) {
    CHECK_EQ(grouping.offsets.at(group), place);
    for (int64_t before = -1; place < grouping.offsets.at(group + 1); before = row_at[place++]) {
      const int64_t row = row_at[place];
      CHECK(row > before && ids[row] == id && (valid == nullptr || valid[row]));
    }
  }
  CHECK_EQ(grouping.offsets.back(), place);
  CHECK_EQ(place, valid == nullptr ? n : std::count(valid, valid + n, true));
}

}  // namespace

void test_grouping(Effort effort) {
  const int64_t n = effort == Effort::kFull ? 300'001 : 150'001;
  Random random(0);
  const auto valid = std::make_unique<bool[]>(n);
  for (int64_t row = 0; row < n; ++row) valid[row] = random.below(3) != 0;
  // dense; far apart, more than the table of their numbers begins with; more groups than parts are worth
  for (const auto& [groups, step] : {std::pair<int64_t, int64_t>{7, 1}, {5'000, int64_t{1} << 40}, {100'000, -1}}) {
    std::vector<int64_t> ids(n);
    for (int64_t& id : ids) id = random.below(groups) * step;
    for (const int64_t threads : {1, 4}) {
      check::current_case = std::to_string(groups) + " ids, " + std::to_string(threads) + " threads";
      check_grouping<uint32_t>(ids, nullptr, {backwards, threads});
      check_grouping<int64_t>(ids, valid.get(), {backwards, threads});
    }
  }
}
