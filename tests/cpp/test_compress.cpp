// Values moved together by a mask, and back: every length around the vectors' and every density.
#include <cstdint>
#include <vector>

#include "check.h"
#include "cpu/backend.h"
#include "samples.h"
#include "tests.h"

namespace {

// A bool of torch may be any byte but 0.
std::vector<uint8_t> some_bytes(int64_t n, int64_t kept_of_eight, Random& random) {
  constexpr uint8_t set[] = {1, 2, 128, 255};
  std::vector<uint8_t> bytes(n);
  for (uint8_t& byte : bytes) byte = random.below(8) < kept_of_eight ? set[random.below(4)] : 0;
  return bytes;
}

template <typename T>
void check_moves(const std::vector<uint8_t>& kept) {
  const auto& moves = std::get<gapo::MaskMoves<T>>(gapo::backend().mask_moves);
  const auto n = static_cast<int64_t>(kept.size());
  constexpr T untouched = -1;
  std::vector<T> values(n), expected;
  for (int64_t i = 0; i < n; ++i) {
    values[i] = static_cast<T>(i + 1);
    if (kept[i]) expected.push_back(values[i]);
  }
  const auto count = static_cast<int64_t>(expected.size());
  std::vector<T> packed(count + gapo::kReadAhead, untouched);
  moves.compress(values.data(), kept.data(), packed.data(), count);
  for (int64_t i = 0; i < count + gapo::kReadAhead; ++i) CHECK_EQ(packed[i], i < count ? expected[i] : untouched);

  std::vector<T> back(n + gapo::kReadAhead, untouched);
  moves.expand(packed.data(), kept.data(), back.data(), n);
  for (int64_t i = 0; i < n + gapo::kReadAhead; ++i) CHECK_EQ(back[i], i >= n ? untouched : kept[i] ? values[i] : T{0});
}

}  // namespace

void test_compress(Effort) {
  Random random(0);
  for (int64_t n = 0; n <= 130; ++n) {
    for (int64_t kept_of_eight = 0; kept_of_eight <= 8; ++kept_of_eight) {
      check::current_case = std::to_string(n) + " values, " + std::to_string(kept_of_eight) + " of 8 kept";
      const auto kept = some_bytes(n, kept_of_eight, random);
      check_moves<float>(kept);
      check_moves<double>(kept);
    }
  }
}
