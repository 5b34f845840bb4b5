// Keys by their rank among the keys of one bin, in global memory and in any order.
#pragma once

#include "cuda/digit_of_rank.h"
#include "cuda/key.h"

namespace gapo::cuda {
namespace {

inline constexpr int kSelectBits = 8;
inline constexpr int kSelectBins = 1 << kSelectBits;

// So few are compared with each other. More are searched digit by digit, which takes about as many instructions as
// comparing this many. Times were not measured.
inline constexpr uint32_t kMostCompared = 256;

// The key of a rank and the one that follows it in order; the largest key where none does.
template <typename Key>
struct Selected {
  Key key, next;
};

// How many of a bin's keys come before one of them: equal ones by their places, which decides nothing. Keys are waited
// for sixteen at a time.
template <typename Key>
GAPO_DEVICE uint32_t rank_in_bin(const Key* keys, uint32_t size, uint32_t place) {
  const Key key = keys[place];
  uint32_t rank = 0, other = 0;
#pragma unroll 16
  for (; other < place; ++other) rank += keys[other] <= key;
#pragma unroll 16
  for (; other < size; ++other) rank += keys[other] < key;
  return rank;
}

template <typename Key, typename Block>
GAPO_DEVICE Selected<Key> select_by_comparing(Block& block, const Key* keys, uint32_t size, uint32_t rank) {
  return block.reduce(
      [&](int thread) {
        Selected<Key> own{kLargestKey<Key>, kLargestKey<Key>};
        for (uint32_t place = thread; place < size; place += Block::kThreads) {
          const uint32_t found = rank_in_bin(keys, size, place);
          if (found == rank) own.key = keys[place];
          if (found == rank + 1) own.next = keys[place];
        }
        return own;
      },
      [](const Selected<Key>& a, const Selected<Key>& b) {
        return Selected<Key>{b.key < a.key ? b.key : a.key, b.next < a.next ? b.next : a.next};
      });
}

// low, high: the smallest and the largest of the keys, which agree in all digits above the first that is looked at.
template <typename Key, typename Block>
GAPO_DEVICE Selected<Key> select_by_digits(Block& block, const Key* keys, uint32_t size, uint32_t rank, Key low,
                                           Key high, uint32_t* counts) {
  int shift = 0;
  while ((low ^ high) >> shift >> kSelectBits != 0) shift += kSelectBits;
  Key leading = low >> shift >> kSelectBits;  // the digits so far
  uint32_t equal = 0;                         // keys that agree in all digits
#pragma unroll 1
  for (; shift >= 0; shift -= kSelectBits) {
    block.each([&](int thread) {
      for (int bin = thread; bin < kSelectBins; bin += Block::kThreads) counts[bin] = 0;
    });
    block.each([&](int thread) {
      for (uint32_t place = thread; place < size; place += Block::kThreads) {
        const Key key = keys[place];
        if (key >> shift >> kSelectBits == leading) atomic_add(counts + (key >> shift) % kSelectBins, 1u);
      }
    });
    const Digit digit = digit_of_rank<kSelectBins>(block, counts, rank, counts + kSelectBins);
    leading = leading << kSelectBits | digit.value;
    rank -= digit.below;
    equal = counts[digit.value];
    block.each([](int) {});  // the counts are reused
  }
  if (rank + 1 < equal) return {leading, leading};
  const Key next = block.reduce(
      [&](int thread) {
        Key own = kLargestKey<Key>;
        for (uint32_t place = thread; place < size; place += Block::kThreads) {
          if (keys[place] > leading && keys[place] < own) own = keys[place];
        }
        return own;
      },
      [](Key a, Key b) { return b < a ? b : a; });
  return {leading, next};
}

// What select_keys needs of the block's own memory.
inline constexpr std::size_t kSelectBytes = (kSelectBins + 2) * sizeof(uint32_t);

template <typename Key, typename Block>
GAPO_DEVICE Selected<Key> select_keys(Block& block, const Key* keys, uint32_t size, uint32_t rank, Key low, Key high,
                                      uint32_t* counts) {
  return size <= kMostCompared ? select_by_comparing(block, keys, size, rank)
                               : select_by_digits(block, keys, size, rank, low, high, counts);
}

}  // namespace
}  // namespace gapo::cuda
