// What one instruction set's build of the kernels offers, and which of them this CPU runs.
#pragma once

#include <cstdint>
#include <tuple>
#include <type_traits>

#include "definition.h"
#include "mask.h"
#include "matrix.h"
#include "parallel.h"

namespace gapo {

// Largest group that is computed in a column beside others, if it is sorted and if it is only summed; larger ones go
// one at a time. Found by timing both.
inline constexpr int64_t kLargestColumn = 4096, kLargestSummedColumn = 2048;

// Groups that lie one after the other: all of one size (offsets null), or group g at rewards[offsets[g] ..
// offsets[g+1]).
template <typename T>
struct Groups {
  const T* rewards;
  const int64_t* offsets;  // [count + 1] or null
  int64_t group_size;      // where offsets is null
  int64_t count;

  int64_t offset(int64_t g) const { return offsets ? offsets[g] : g * group_size; }
  int64_t size(int64_t g) const { return offsets ? offsets[g + 1] - offsets[g] : group_size; }
  const T* begin(int64_t g) const { return rewards + offset(g); }
};

template <typename T>
struct Output {
  T* advantage;  // as the rewards
  T* stats;      // [count, 4]: centre, scale, lower, upper; or null
};

// 16-bit floats as they lie in memory.
struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// What values of this type are computed in.
template <typename Token>
using Computed = std::conditional_t<std::is_same_v<Token, double>, double, float>;

// The two passes of the token-level step.
template <typename Token>
struct TokenPasses {
  // sums[row] = the sum of tokens[row, :], added in float64
  void (*row_sums)(Matrix<const Token> tokens, int64_t rows, int64_t length, Computed<Token>* sums, ParallelFor);
  // out[row, t] = values[row] * mask[row, t], and 0 where the mask is 0
  void (*broadcast)(const Computed<Token>* values, const Mask& mask, int64_t rows, int64_t length, Token* out,
                    ParallelFor);
};

// The two moves around a mask of valid rewards. kept: a byte a value, 0 for a hole.
template <typename T>
struct MaskMoves {
  // packed[0 .. count) = the values that are kept, which are so many, in order
  void (*compress)(const T* values, const uint8_t* kept, T* packed, int64_t count);
  // values[0 .. n) = packed in the places that are kept, 0 in the others. Up to kReadAhead values behind the last that
  // is kept are read.
  void (*expand)(const T* packed, const uint8_t* kept, T* values, int64_t n);
};
inline constexpr int64_t kReadAhead = 16;

struct Backend {
  const char* name;
  int float_lanes;  // groups of float rewards that are computed side by side
  void (*advantage_float)(const Rule&, const Groups<float>&, const Output<float>&, const Threads&);
  void (*advantage_double)(const Rule&, const Groups<double>&, const Output<double>&, const Threads&);
  std::tuple<MaskMoves<float>, MaskMoves<double>> mask_moves;
  std::tuple<TokenPasses<float>, TokenPasses<double>, TokenPasses<Float16>, TokenPasses<BFloat16>> tokens;
};

// The best build that this CPU runs, or the one that GAPO_CPU_CAPABILITY names (baseline, avx2, avx512): chosen once.
const Backend& backend();

}  // namespace gapo
