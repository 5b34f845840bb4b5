// Collects this instruction set's functions; each isa_*.cpp includes it once, after it has chosen the target.
#pragma once

#include "cpu/advantage.h"
#include "cpu/tokens.h"

namespace gapo {
namespace {

constexpr Backend make_backend(const char* name) {
  return {name,
          kLanes<float>,
          advantage<float>,
          advantage<double>,
          row_sums<float>,
          row_sums<double>,
          broadcast<float>,
          broadcast<double>};
}

}  // namespace
}  // namespace gapo
