// The five ops on plain memory, by three functions: what the torch op and the NumPy module both call. Torch-free; T is
// float or double, Token a 16-bit float as well.
#pragma once

#include "cpu/backend.h"
#include "grouping.h"

namespace gapo {

// Groups that lie one after the other. valid: one bool a reward, or null. Empty groups' statistics are NaN.
template <typename T>
void contiguous_advantage(const Rule& rule, const Groups<T>& groups, const bool* valid, const Output<T>& out,
                          const Threads& threads);

// rewards, ids, valid (or null), advantage: [n]; stats: [n, 4], each row its group's, or null.
template <typename T>
void advantage_by_id(const Rule& rule, const T* rewards, const int64_t* ids, int64_t n, const bool* valid,
                     const Output<T>& out, const Threads& threads);

// tokens, mask, out: [rows, length], out contiguous; ids, valid (or null): [rows].
template <typename Token>
void token_advantage(const Rule& rule, Matrix<const Token> tokens, const Mask& mask, const int64_t* ids, int64_t rows,
                     int64_t length, const bool* valid, Token* out, const Threads& threads);

}  // namespace gapo
