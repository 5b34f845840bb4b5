// The parts inside one instruction set's kernels, made callable: plain functions on plain memory, so that the tests
// themselves are compiled once and for any CPU.
#pragma once

#include <cstdint>

#include "parallel.h"

inline constexpr int kMaxBlock = 16;

// A row is `lanes` values, one of each column.
template <typename T>
struct TypedProbe {
  int lanes;
  void (*sort_network[kMaxBlock + 1])(T* rows);       // by number of rows; null beyond kBlock
  void (*merge_network[kMaxBlock + 1])(T* rows);      // by number of rows, for those that a merge is built of
  void (*run_merge_network[kMaxBlock + 1])(T* rows);  // by number of rows, for the powers of two
  void (*sort_columns)(T* columns, int64_t rows);
  // Equal groups, one behind the other; groups that lie anywhere, through Batch::add.
  void (*load_equal)(const T* rewards, int64_t size, int count, T* columns);
  void (*load_any)(const T* const* groups, const int64_t* sizes, int count, T* columns);
  void (*sort_group)(const T* values, T* sorted, int64_t n);
  // Returns the start of the narrowest window of k (k = 0: not asked for), then reads the rewards of some ranks.
  int64_t (*rank)(const T* rewards, int64_t n, int64_t k, bool with_median, gapo::ParallelFor, const int64_t* ranks,
                  int64_t count, double* values);
};

struct Probe {
  int block;  // kBlock
  TypedProbe<float> of_float;
  TypedProbe<double> of_double;

  template <typename T>
  const TypedProbe<T>& of() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return of_float;
    } else {
      return of_double;
    }
  }
};

// The probe of the capability that gapo::backend() chose.
const Probe& probe();
