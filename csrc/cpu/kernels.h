// Collects this instruction set's functions; each isa_*.cpp includes it once, after it has chosen the target.
#pragma once

#include "cpu/advantage.h"
#include "cpu/compress.h"
#include "cpu/tokens.h"

namespace gapo {
namespace {

template <typename T>
constexpr MaskMoves<T> kMaskMoves = {compress<T>, expand<T>};

template <typename Token>
constexpr TokenPasses<Token> kTokenPasses = {row_sums<Token>, broadcast<Token>};

constexpr Backend make_backend(const char* name) {
  return {name,
          kLanes<float>,
          advantage<float>,
          advantage<double>,
          {kMaskMoves<float>, kMaskMoves<double>},
          {kTokenPasses<float>, kTokenPasses<double>, kTokenPasses<Float16>, kTokenPasses<BFloat16>}};
}

}  // namespace
}  // namespace gapo
