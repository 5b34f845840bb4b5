// One step of a search for the key of a rank, digit by digit: the digit, from how many keys have which.
#pragma once

#include "cuda/block.h"

namespace gapo::cuda {
namespace {

struct Digit {
  uint32_t value;
  uint32_t below;  // so many keys have a smaller one
};

// counts: [kBins], how many keys have which digit; rank: of one of them. found: two words of the block's own memory
// that may be the first counts' if others hold those, and are free again afterwards.
template <int kBins, typename Block>
GAPO_DEVICE Digit digit_of_rank(Block& block, const uint32_t* counts, uint32_t rank, uint32_t* found) {
  constexpr int run = divide_up(kBins, Block::kThreads);
  const auto own_bins = [](int thread, auto visit) {
    for (int bin = thread * run; bin < (thread + 1) * run && bin < kBins; ++bin) visit(bin);
  };
  block.scan(
      [&](int thread) {
        uint32_t own = 0;
        own_bins(thread, [&](int bin) { own += counts[bin]; });
        return own;
      },
      [&](int thread, uint32_t below) {
        own_bins(thread, [&](int bin) {
          if (below <= rank && rank < below + counts[bin]) {
            found[0] = static_cast<uint32_t>(bin);
            found[1] = below;
          }
          below += counts[bin];
        });
      });
  const Digit digit{found[0], found[1]};
  block.each([](int) {});  // `found` is reused
  return digit;
}

}  // namespace
}  // namespace gapo::cuda
