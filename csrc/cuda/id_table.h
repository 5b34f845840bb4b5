// Finds rows with equal ids, whatever their values are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/block.h"
#include "cuda/call.h"
#include "hash.h"
#include "host_device.h"

namespace gapo::cuda {
namespace {

inline constexpr int32_t kUnclaimed = 0;

// How many bits a place in the table of n ids has: about two of three places are taken at most, and one is always free.
constexpr int table_bits(int64_t n) {
  int bits = 1;
  while ((int64_t{1} << bits) < n + n / 2) ++bits;
  return bits;
}
static_assert(table_bits(INT32_MAX) == 32);

constexpr std::size_t table_bytes(int64_t n) { return sizeof(int32_t) << table_bits(n); }

// An open-addressing hash table. An id's place, and which of its rows owns it, depend on which thread came first: only
// their equality means anything.
struct IdTable {
  Ids ids;
  int32_t* claims;  // [2 ** bits], of each place: 1 + the row that owns it, or kUnclaimed, as all are at first; in
                    // global or shared memory
  int bits;

  struct Found {
    uint32_t place;
    int32_t owner;  // a row with the same id
  };
  // The row's id is inserted where it is not there; id: ids[row].
  GAPO_DEVICE Found find(int32_t row, int64_t id) const {
    const uint32_t last = static_cast<uint32_t>((uint64_t{1} << bits) - 1);
    for (uint32_t place = static_cast<uint32_t>(mixed(static_cast<uint64_t>(id))) & last;; place = (place + 1) & last) {
      int32_t claim = atomic_peek(claims + place);
      if (claim == kUnclaimed) claim = atomic_claim(claims + place, kUnclaimed, row + 1);
      const int32_t owner = claim == kUnclaimed ? row : claim - 1;
      if (owner == row || ids[owner] == id) return {place, owner};
    }
  }
};

}  // namespace
}  // namespace gapo::cuda
