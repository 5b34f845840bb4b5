// The statistics of one batch of groups, side by side in columns.
//
// Where all groups of the batch have one size, every step is a vector step over the rows; otherwise the steps whose
// bounds differ by lane are those of statistics.h, lane by lane. Both add in the same order.
#pragma once

#include "cpu/load_columns.h"
#include "cpu/sort_columns.h"
#include "cpu/window_search.h"

namespace gapo {
namespace {

// One float64 a lane, in memory, so that vector steps and lane steps can take turns.
template <typename T>
struct alignas(kVectorBytes) Lanes {
  double value[kLanes<T>];
  double& operator[](int lane) { return value[lane]; }
  double operator[](int lane) const { return value[lane]; }
  Vec<double> part(int p) const { return load(value + p * kLanes<double>); }
  void set_part(int p, Vec<double> v) { store(value + p * kLanes<double>, v); }
};

// GroupStats of every lane.
template <typename T>
struct LaneStats {
  Lanes<T> center{}, scale, lower, upper, inverse;
  GroupStats operator[](int lane) const { return {center[lane], scale[lane], lower[lane], upper[lane], inverse[lane]}; }
};

// One column as a sequence of float64.
template <typename T>
struct Column {
  const T* top;
  Column(const Vec<T>* columns, int lane) : top(reinterpret_cast<const T*>(columns) + lane) {}
  double operator[](int64_t row) const { return top[row * kLanes<T>]; }
};

template <typename T>
struct ColumnStatistics {
  static constexpr int kWidth = kLanes<T>;
  typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> Flags __attribute__((vector_size(kVectorBytes)));

  const Rule& rule;
  const Batch<T>& batch;
  Vec<T>* columns;  // scratch: batch.rows rows, rounded up to a multiple of kBlock
  LaneStats<T> stats{};
  Lanes<T> spread{};
  int64_t start[kWidth]{};
  Flags has_nan{}, constant{};

  void run() {
    load_columns(batch, columns);
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
    if (rule.scale == Scale::kMad) {
      each_lane([&](int lane, int64_t n) { spread[lane] = median_deviation(column(lane), n, stats.center[lane]); });
    }
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

  // Which lanes hold a NaN, and which hold one finite reward over and over.
  void inspect() {
    if (batch.uniform) {
      const Vec<T> first = columns[0];
      Flags nans = first != first, differ = nans;
      for (int64_t row = 1; row < batch.rows; ++row) {
        nans |= columns[row] != columns[row];
        differ |= columns[row] != first;
      }
      has_nan = nans;
      constant = (differ == 0) & (first - first == 0);
    } else {
      has_nan = constant = Flags{};
      each_lane([&](int lane, int64_t n) {
        constant[lane] = is_constant(column(lane), n);
        has_nan[lane] = any_nan(column(lane), n);
      });
    }
  }

  void find_centers() {
    if (takes_mean(rule.center)) {
      if (batch.uniform) {
        find_means();
      } else {
        each_lane([&](int lane, int64_t n) { stats.center[lane] = mean_of(column(lane), n); });
      }
    } else if (rule.center == Center::kNone) {
      each_lane([&](int lane, int64_t) { stats.center[lane] = constant[lane] ? column(lane)[0] : 0.0; });
    } else if (rule.center == Center::kHdiMedian && batch.uniform) {
      find_window_medians(batch.window[0]);
    } else {
      each_lane([&](int lane, int64_t n) {
        stats.center[lane] = ordered_center(column(lane), n, batch.window[lane], start[lane], rule.center);
      });
    }
    for (int lane = 0; lane < kWidth; ++lane) stats.center[lane] = positive_zero(static_cast<T>(stats.center[lane]));
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
    Lanes<T> anchor;
    for (int lane = 0; lane < kWidth; ++lane) anchor[lane] = anchor_of(column(lane)[0]);
    Wide<T> sum{};
    for (int64_t row = 0; row < batch.rows; ++row) {
      const Wide<T> values = wide_row(row);
      for (int p = 0; p < kParts<T>; ++p) sum.part[p] += values.part[p] - anchor.part(p);
    }
    for (int p = 0; p < kParts<T>; ++p) {
      stats.center.set_part(p, anchor.part(p) + sum.part[p] / static_cast<double>(batch.rows));
    }
  }

  void sum_squares() {
    if (!batch.uniform) {
      return each_lane(
          [&](int lane, int64_t n) { spread[lane] = sum_of_squares(column(lane), n, stats.center[lane]); });
    }
    Wide<T> center, sum{};
    for (int p = 0; p < kParts<T>; ++p) center.part[p] = stats.center.part(p);
    for (int64_t row = 0; row < batch.rows; ++row) {
      const Wide<T> values = wide_row(row);
      for (int p = 0; p < kParts<T>; ++p) {
        const Vec<double> deviation = values.part[p] - center.part[p];
        sum.part[p] += deviation * deviation;
      }
    }
    for (int p = 0; p < kParts<T>; ++p) spread.set_part(p, sum.part[p]);
  }

  void find_windows() {
    if (batch.uniform) {
      find_uniform_windows(batch.window[0]);
    } else {
      each_lane([&](int lane, int64_t n) { start[lane] = narrowest_window(column(lane), n, batch.window[lane]); });
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

  void assemble_lanes() {
    Lanes<T> size;
    for (int lane = 0; lane < kWidth; ++lane) size[lane] = static_cast<double>(batch.size[lane]);
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
