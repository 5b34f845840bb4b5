// The token-level step: row sums, the groups' advantages, the product with the mask.
#include "batch.h"
#include "check.h"
#include "split.h"
#include "tests.h"

namespace {

using gapo::MaskType;

// Row sums in float64, whatever their order, are this close to the true ones before they are rounded to T.
template <typename T>
void check_row_sums(int64_t rows, int64_t length) {
  check::current_case = "sums of " + std::to_string(length);
  const std::vector<T> tokens = sample<T>(Shape::kNormal, rows * length, length);
  std::vector<T> sums(rows, static_cast<T>(kPoison));
  if constexpr (sizeof(T) == sizeof(float)) {
    gapo::backend().row_sums_float(tokens.data(), rows, length, sums.data(), gapo::serial_for);
  } else {
    gapo::backend().row_sums_double(tokens.data(), rows, length, sums.data(), gapo::serial_for);
  }
  for (int64_t row = 0; row < rows; ++row) {
    long double sum = 0, sizes = 0;
    for (int64_t t = 0; t < length; ++t) {
      sum += tokens[row * length + t];
      sizes += std::abs(static_cast<long double>(tokens[row * length + t]));
    }
    CHECK_NEAR(sums[row], sum, sizes * length * 0x1p-53L + std::abs(sum) * std::numeric_limits<T>::epsilon());
  }
}

template <typename T, typename Mask>
struct Step {
  int64_t rows, length;
  std::vector<T> tokens;  // multiples of 1/8, so that a row's sum is exact in any order
  std::vector<Mask> mask;
  std::vector<int64_t> ids;
  std::unique_ptr<bool[]> valid;

  Step(int64_t rows, int64_t length) : rows(rows), length(length), valid(some_valid(rows, length)) {
    Random random(rows * length);
    for (int64_t row = 0; row < rows; ++row) {
      ids.push_back(random.below(rows / 7 + 1) * 1000003 - 17);
      const int64_t end = random.below(length + 1);  // padding behind it
      for (int64_t t = 0; t < length; ++t) {
        tokens.push_back(static_cast<T>(random.below(33) - 16) / 8);
        mask.push_back(t >= end ? Mask{0} : static_cast<Mask>(1.5 * static_cast<double>(random.below(3))));
      }
    }
    if (rows > 2 && length > 0) tokens[2 * length] = std::numeric_limits<T>::quiet_NaN();
  }

  // The output begins `shift` values behind an address that vectors like.
  void check(MaskType type, bool with_valid, int shift, const gapo::Threads& threads) const {
    check::current_case = std::to_string(rows) + " rows of " + std::to_string(length) + " tokens, mask type " +
                          std::to_string(static_cast<int>(type));
    const gapo::Rule rule;
    std::vector<T> sums(rows, T{0}), advantage(rows);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t t = 0; t < length; ++t) sums[row] += tokens[row * length + t];
    }
    const bool* kept = with_valid ? valid.get() : nullptr;
    gapo::advantage_by_id<T>(rule, sums.data(), ids.data(), rows, kept, {advantage.data(), nullptr}, {});
    std::vector<T> memory(rows * length + shift, static_cast<T>(kPoison));
    T* const out = memory.data() + shift;
    gapo::token_advantage<T>(rule, tokens.data(), mask.data(), type, ids.data(), rows, length, kept, out, threads);
    for (int64_t i = 0; i < rows * length; ++i) {
      CHECK_EQ(out[i], mask[i] == 0 ? T{0} : advantage[i / length] * static_cast<T>(mask[i]));
    }
    for (int i = 0; i < shift; ++i) CHECK_EQ(memory[i], static_cast<T>(kPoison));
  }
};

template <typename T, typename Mask>
void check_steps(MaskType type) {
  for (int64_t length : {0, 1, 2, 3, 15, 16, 17, 33, 100, 129}) {
    const Step<T, Mask> step(40, length);
    for (bool with_valid : {false, true}) step.check(type, with_valid, 0, {});
  }
  Step<T, Mask>(0, 8).check(type, false, 0, {});
  const Step<T, Mask> streamed(293, 4099);  // more than 4 MiB of float, and no row but the first is aligned
  for (int shift = 0; shift < 2; ++shift) streamed.check(type, true, shift, {});
  with_split_threads([&](const gapo::Threads& threads) { streamed.check(type, false, 1, threads); });
}

template <typename T>
void test_type() {
  for (int64_t length : {0, 1, 7, 15, 16, 17, 31, 32, 100, 1000}) check_row_sums<T>(23, length);
  check_steps<T, uint8_t>(MaskType::kUint8);
  check_steps<T, int32_t>(MaskType::kInt32);
  check_steps<T, int64_t>(MaskType::kInt64);
  check_steps<T, float>(MaskType::kFloat);
  check_steps<T, double>(MaskType::kDouble);
}

}  // namespace

void test_tokens(Effort) {
  test_type<float>();
  test_type<double>();
}
