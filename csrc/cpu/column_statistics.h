// The statistics of one batch of groups, side by side in columns.
//
// Sums are vector steps over the rows, where a lane that has no more rows adds 0, in the order of statistics.h; those
// in the caller's order are taken lane by lane where the columns are longer than kLargestSummedColumn (caller_sums.h).
// The search for windows and median deviations is vector steps too where all groups of the batch have one size. Where
// sizes differ each lane is searched by itself: for its window after a transposition, for the deviation by bisection.
#pragma once

#include "cpu/caller_sums.h"
#include "cpu/lanes.h"
#include "cpu/load_columns.h"
#include "cpu/sort_columns.h"
#include "cpu/window_search.h"

namespace gapo {
namespace {

template <typename T>
struct ColumnStatistics {
  static constexpr int kWidth = kLanes<T>;
  typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> Flags __attribute__((vector_size(kVectorBytes)));

  const Rule& rule;
  const Batch<T>& batch;
  Vec<T>* columns;  // scratch: batch.rows rows, rounded up to a multiple of kBlock
  T* ascending;     // as much, for batches of several sizes
  LaneStats<T> stats{};
  Lanes<T> size{}, spread{};
  int64_t start[kWidth]{};
  Flags has_nan{}, constant{};

  void run() {
    load_columns(batch, columns);
    for (int lane = 0; lane < kWidth; ++lane) size[lane] = static_cast<double>(batch.size[lane]);
    inspect();
    const bool ordered_center = takes_order(rule.center);
    if (!ordered_center) {  // summed in the caller's order, whether or not a sort follows
      find_centers();
      if (rule.scale == Scale::kRms) sum_squares();
    }
    if (rule.needs_order()) sort_columns(columns, batch.rows);
    if (rule.needs_window()) find_windows();
    if (ordered_center) {
      find_centers();
      if (rule.scale == Scale::kRms) sum_squares();
    }
    if (rule.scale == Scale::kMad) find_deviations();
    assemble_lanes();
    correct_lanes();
  }

 private:
  Column<T> column(int lane) const { return {columns, lane}; }

  Wide<T> wide_row(int64_t row) const { return load_wide(reinterpret_cast<const T*>(columns + row)); }

  template <typename Step>
  void each_lane(Step step) {
    for (int lane = 0; lane < batch.lanes; ++lane) step(lane, batch.size[lane]);
  }

  // sum_of in every lane: term(values, p) of the rows' values in part p; a lane that has no more rows adds 0.
  template <typename Term>
  Wide<T> sum_rows(Term term) const {
    Wide<T> total{};
    for (int64_t first = 0; first < batch.rows; first += kSumRun) {
      const int64_t end = first + kSumRun < batch.rows ? first + kSumRun : batch.rows;
      Wide<T> sum{};
      for (int64_t row = first; row < end; ++row) {
        const Wide<T> values = wide_row(row);
        for (int p = 0; p < kParts<T>; ++p) {
          const Vec<double> terms = term(values.part[p], p);
          if (row < batch.shared_rows) {
            sum.part[p] += terms;
          } else {
            sum.part[p] += size.part(p) > static_cast<double>(row) ? terms : Vec<double>{};
          }
        }
      }
      for (int p = 0; p < kParts<T>; ++p) total.part[p] += sum.part[p];
    }
    return total;
  }

  // Which lanes hold a NaN, and which hold one finite reward over and over.
  void inspect() {
    const Vec<T> first = columns[0];
    Flags nans = first != first, differ = nans;
    Vec<T> sizes;
    for (int lane = 0; lane < kWidth; ++lane) sizes[lane] = static_cast<T>(batch.size[lane]);
    int64_t row = 1;
    for (; row < batch.shared_rows; ++row) {
      nans |= columns[row] != columns[row];
      differ |= columns[row] != first;
    }
    for (; row < batch.rows; ++row) {
      nans |= columns[row] != columns[row];
      differ |= (columns[row] != first) & (sizes > static_cast<T>(row));
    }
    has_nan = nans;
    constant = (differ == 0) & (first - first == 0);
  }

  void find_centers() {
    if (takes_mean(rule.center)) {
      find_means();
    } else if (rule.center == Center::kNone) {
      each_lane([&](int lane, int64_t) { stats.center[lane] = constant[lane] ? column(lane)[0] : 0.0; });
    } else if (rule.center == Center::kHdiMedian && batch.uniform) {
      find_window_medians(batch.window[0]);
    } else {
      each_lane([&](int lane, int64_t n) {
        stats.center[lane] = ordered_center(column(lane), n, batch.window[lane], start[lane], rule.center);
      });
    }
    for (int lane = 0; lane < kWidth; ++lane) stats.center[lane] = rounded_center<T>(stats.center[lane]);
  }

  void find_window_medians(int64_t k) {
    Lanes<T> low, high;
    for (int lane = 0; lane < kWidth; ++lane) {
      const int64_t first = start[lane] < 0 ? 0 : start[lane];
      low[lane] = column(lane)[first + (k - 1) / 2];
      high[lane] = column(lane)[first + k / 2];
    }
    for (int p = 0; p < kParts<T>; ++p) stats.center.set_part(p, middle(low.part(p), high.part(p)));
    each_lane([&](int lane, int64_t) {
      if (start[lane] < 0) stats.center[lane] = kNan;
    });
  }

  void find_means() {
    if (batch.rows > kLargestSummedColumn) {
      return each_lane([&](int lane, int64_t n) { stats.center[lane] = caller_mean(batch.group[lane], n); });
    }
    Lanes<T> anchor;
    for (int lane = 0; lane < kWidth; ++lane) anchor[lane] = anchor_of(column(lane)[0]);
    const Wide<T> sum = sum_rows([&](Vec<double> values, int p) { return values - anchor.part(p); });
    for (int p = 0; p < kParts<T>; ++p) stats.center.set_part(p, anchor.part(p) + sum.part[p] / size.part(p));
  }

  void sum_squares() {
    if (batch.rows > kLargestSummedColumn && !takes_order(rule.center)) {
      return each_lane(
          [&](int lane, int64_t n) { spread[lane] = caller_squares(batch.group[lane], n, stats.center[lane]); });
    }
    const Wide<T> sum = sum_rows([&](Vec<double> values, int p) {
      const Vec<double> deviation = values - stats.center.part(p);
      return deviation * deviation;
    });
    for (int p = 0; p < kParts<T>; ++p) spread.set_part(p, sum.part[p]);
  }

  void find_deviations() {
    if (!batch.uniform) {
      return each_lane(
          [&](int lane, int64_t n) { spread[lane] = median_deviation(column(lane), n, stats.center[lane]); });
    }
    const Wide<T> high = ranked_deviations(batch.rows / 2 + 1);
    const Wide<T> low = batch.rows % 2 == 1 ? high : ranked_deviations(batch.rows / 2);
    for (int p = 0; p < kParts<T>; ++p) {
      const Vec<double> center = stats.center.part(p);
      spread.set_part(p, center - center == 0.0 ? middle(low.part[p], high.part[p]) : splat(kNan));
    }
  }

  // ranked_deviation of every lane; all m neighbours are looked at, so that no branch depends on data.
  Wide<T> ranked_deviations(int64_t m) const {
    Wide<T> center, least;
    for (int p = 0; p < kParts<T>; ++p) {
      center.part[p] = stats.center.part(p);
      least.part[p] = splat(kInfinity);
    }
    for (int64_t i = 0; i + m <= batch.rows; ++i) {
      const Wide<T> low = wide_row(i), high = wide_row(i + m - 1);
      for (int p = 0; p < kParts<T>; ++p) {
        const Vec<double> reach = max(high.part[p] - center.part[p], center.part[p] - low.part[p]);
        least.part[p] = min(reach, least.part[p]);
      }
    }
    return least;
  }

  void find_windows() {
    if (batch.uniform) {
      find_uniform_windows(batch.window[0]);
    } else {
      find_ragged_windows();
    }
    if (rule.report_window) {
      each_lane([&](int lane, int64_t) {
        stats.lower[lane] = start[lane] < 0 ? kNan : positive_zero(column(lane)[start[lane]]);
        stats.upper[lane] = start[lane] < 0 ? kNan : positive_zero(column(lane)[start[lane] + batch.window[lane] - 1]);
      });
    }
  }

  void find_uniform_windows(int64_t k) {
    NarrowestInLanes<T> lanes;
    for (int64_t i = 0; i + k <= batch.rows; ++i) lanes.offer(wide_row(i), wide_row(i + k - 1), i);
    each_lane([&](int lane, int64_t n) {
      start[lane] = lanes.rank(lane);
      // no finite width: the order of infinite and undefined ones is the scalar form's business
      if (start[lane] < 0) start[lane] = narrowest_window(column(lane), n, k);
    });
  }

  // Windows of different sizes end in different rows: each column is laid out as a row, and searched by itself.
  void find_ragged_windows() {
    const int64_t stride = divide_up(batch.rows, kWidth) * kWidth;
    for (int64_t row = 0; row < stride; row += kWidth) {
      Vec<T> block[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) block[i] = columns[row + i];
      transpose<T>(block);
#pragma GCC unroll 16
      for (int lane = 0; lane < kWidth; ++lane) store(ascending + lane * stride + row, block[lane]);
    }
    each_lane([&](int lane, int64_t n) {
      start[lane] = narrowest_window_of(ascending + lane * stride, n, batch.window[lane]);
    });
  }

  void assemble_lanes() {
    for (int p = 0; p < kParts<T>; ++p) {
      const auto scale = scale_of(rule, size.part(p), spread.part(p));
      stats.scale.set_part(p, scale.scale);
      stats.inverse.set_part(p, scale.inverse);
    }
  }

  // The lanes that are not ordinary groups.
  void correct_lanes() {
    each_lane([&](int lane, int64_t n) {
      if (has_nan[lane]) {
        set(lane, nan_group());
      } else if (n == 1) {
        set(lane, group_of_one(rule, column(lane)[0]));
      } else if (constant[lane]) {
        stats.inverse[lane] = 0.0;
      }
    });
  }

  void set(int lane, const GroupStats& group) {
    stats.center[lane] = group.center;
    stats.scale[lane] = group.scale;
    stats.lower[lane] = group.lower;
    stats.upper[lane] = group.upper;
    stats.inverse[lane] = group.inverse;
  }
};

}  // namespace
}  // namespace gapo
