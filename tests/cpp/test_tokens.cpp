// The token-level step: row sums, the groups' advantages, the product with the mask.
#include "batch.h"
#include "check.h"
#include "half_formats.h"
#include "split.h"
#include "tests.h"

namespace {

using gapo::MaskType;

template <typename Token>
const auto& passes() {
  return std::get<gapo::TokenPasses<Token>>(gapo::backend().tokens);
}

// Row sums in float64, whatever their order, are this close to the true ones before they are rounded to T.
template <typename Token>
void check_row_sums(int64_t rows, int64_t length) {
  using T = gapo::Computed<Token>;
  check::current_case = "sums of " + std::to_string(length);
  std::vector<Token> tokens;
  for (T value : sample<T>(Shape::kNormal, rows * length, length)) {
    tokens.push_back(encoded<Token>(rounded<Token>(value)));
  }
  std::vector<T> sums(rows, static_cast<T>(kPoison));
  passes<Token>().row_sums({tokens.data(), length}, rows, length, sums.data(), gapo::serial_for);
  for (int64_t row = 0; row < rows; ++row) {
    long double sum = 0, sizes = 0;
    for (int64_t t = 0; t < length; ++t) {
      sum += decoded(tokens[row * length + t]);
      sizes += std::abs(static_cast<long double>(decoded(tokens[row * length + t])));
    }
    CHECK_NEAR(sums[row], sum, sizes * length * 0x1p-53L + std::abs(sum) * std::numeric_limits<T>::epsilon());
  }
}

// Every pattern of 16 bits, in every lane of a vector and behind the last one, as the only token that is not 0.
template <typename Half>
void check_every_half_is_read() {
  check::current_case = "every pattern";
  constexpr int64_t rows = 65536, length = 47;
  std::vector<Half> tokens(rows * length);
  for (int64_t row = 0; row < rows; ++row) tokens[row * length + row % length].bits = static_cast<uint16_t>(row);
  std::vector<float> sums(rows);
  passes<Half>().row_sums({tokens.data(), length}, rows, length, sums.data(), gapo::serial_for);
  for (int64_t row = 0; row < rows; ++row) CHECK_EQ(sums[row], decoded(Half{static_cast<uint16_t>(row)}));
}

// The halfway points between neighbours and the floats beside these, where rounding is decided, and floats of any bits.
template <typename Half>
void check_rounding() {
  check::current_case = "rounding";
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 65535; ++bits) {
    const double here = decoded(Half{static_cast<uint16_t>(bits)}),
                 next = decoded(Half{static_cast<uint16_t>(bits + 1)});
    // what would come behind the largest: rounding turns infinite half way there
    const double beyond = std::copysign(std::ldexp(1, Format<Half>::largest_exponent + 1), here);
    const double above = std::isfinite(here) && std::isinf(next) ? beyond : next;
    const auto low = static_cast<float>(here), high = static_cast<float>(above);
    const auto middle = static_cast<float>(here + (above - here) / 2);
    for (float value : {low, std::nextafter(middle, low), middle, std::nextafter(middle, high)})
      values.push_back(value);
  }
  Random random(16);
  for (int i = 0; i < 100000; ++i) {
    const auto bits = static_cast<uint32_t>(random.bits());
    values.push_back(0);
    std::memcpy(&values.back(), &bits, sizeof(bits));
  }
  const auto rows = static_cast<int64_t>(values.size());
  constexpr int64_t length = 17;  // a vector of every instruction set, and one token behind it
  const std::vector<uint8_t> mask(rows * length, 1);
  std::vector<Half> out(rows * length);
  passes<Half>().broadcast(values.data(), {mask.data(), length, MaskType::kUint8}, rows, length, out.data(),
                           gapo::serial_for);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t t : {int64_t{0}, row % length, length - 1}) {
      CHECK_BITS(decoded(out[row * length + t]), rounded<Half>(values[row]));
    }
  }
}

template <typename Mask>
Mask mask_value(double factor) {
  if constexpr (std::is_same_v<Mask, gapo::Flag>) {
    return {static_cast<uint8_t>(85 * factor)};  // 0, 127 or 255
  } else if constexpr (sizeof(Mask) == 2) {
    return encoded<Mask>(factor);
  } else {
    return static_cast<Mask>(factor);
  }
}

template <typename T, typename Mask>
T factor_of(Mask mask) {
  if constexpr (sizeof(Mask) == 2) {
    return static_cast<T>(decoded(mask));
  } else {
    return static_cast<T>(mask);
  }
}

template <typename Token, typename Mask>
struct Step {
  using T = gapo::Computed<Token>;
  int64_t rows, length;
  std::vector<Token> tokens;  // multiples of 1/8, so that a row's sum is exact in any order
  std::vector<Mask> mask;
  std::vector<int64_t> ids;
  std::unique_ptr<bool[]> valid;

  Step(int64_t rows, int64_t length) : rows(rows), length(length), valid(some_valid(rows, length)) {
    Random random(rows * length);
    for (int64_t row = 0; row < rows; ++row) {
      ids.push_back(random.below(rows / 7 + 1) * 1000003 - 17);
      const int64_t end = random.below(length + 1);  // padding behind it
      for (int64_t t = 0; t < length; ++t) {
        tokens.push_back(encoded<Token>(static_cast<double>(random.below(33) - 16) / 8));
        mask.push_back(mask_value<Mask>(t >= end ? 0 : 1.5 * static_cast<double>(random.below(3))));
      }
    }
    if (rows > 2 && length > 0) tokens[2 * length] = encoded<Token>(std::numeric_limits<T>::quiet_NaN());
  }

  // The output begins `shift` values behind an address that vectors like.
  void check(MaskType type, bool with_valid, int shift, const gapo::Threads& threads) const {
    check::current_case = std::to_string(rows) + " rows of " + std::to_string(length) + " tokens, mask type " +
                          std::to_string(static_cast<int>(type));
    const gapo::Rule rule;
    std::vector<T> sums(rows, T{0}), advantage(rows);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t t = 0; t < length; ++t) sums[row] += static_cast<T>(decoded(tokens[row * length + t]));
    }
    const bool* kept = with_valid ? valid.get() : nullptr;
    gapo::advantage_by_id<T>(rule, sums.data(), ids.data(), rows, kept, {advantage.data(), nullptr}, {});
    const Token poison = encoded<Token>(rounded<Token>(static_cast<T>(kPoison)));
    std::vector<Token> memory(rows * length + shift, poison);
    Token* const out = memory.data() + shift;
    gapo::token_advantage<Token>(rule, {tokens.data(), length}, {mask.data(), length, type}, ids.data(), rows, length,
                                 kept, out, threads);
    for (int64_t i = 0; i < rows * length; ++i) {
      const T factor = factor_of<T>(mask[i]);
      CHECK_EQ(decoded(out[i]), factor == 0 ? 0.0 : rounded<Token>(advantage[i / length] * factor));
    }
    for (int i = 0; i < shift; ++i) CHECK_EQ(decoded(memory[i]), decoded(poison));
  }
};

template <typename Token, typename Mask>
void check_steps(MaskType type) {
  for (int64_t length : {0, 1, 2, 3, 15, 16, 17, 33, 100, 129}) {
    const Step<Token, Mask> step(40, length);
    for (bool with_valid : {false, true}) step.check(type, with_valid, 0, {});
  }
  Step<Token, Mask>(0, 8).check(type, false, 0, {});
  // more than 4 MiB, and no row but the first is aligned
  const Step<Token, Mask> streamed(293 * 4 / std::min<int64_t>(sizeof(Token), 4), 4099);
  for (int shift = 0; shift < 2; ++shift) streamed.check(type, true, shift, {});
  with_split_threads([&](const gapo::Threads& threads) { streamed.check(type, false, 1, threads); });
}

template <typename Token>
void test_type() {
  for (int64_t length : {0, 1, 7, 15, 16, 17, 31, 32, 100, 1000}) check_row_sums<Token>(23, length);
  check_steps<Token, gapo::Flag>(MaskType::kBool);
  check_steps<Token, uint8_t>(MaskType::kUint8);
  check_steps<Token, int32_t>(MaskType::kInt32);
  check_steps<Token, int64_t>(MaskType::kInt64);
  check_steps<Token, gapo::Float16>(MaskType::kFloat16);
  check_steps<Token, gapo::BFloat16>(MaskType::kBFloat16);
  check_steps<Token, float>(MaskType::kFloat);
  check_steps<Token, double>(MaskType::kDouble);
}

template <typename Half>
void test_half() {
  check_every_half_is_read<Half>();
  check_rounding<Half>();
  test_type<Half>();
}

}  // namespace

void test_tokens(Effort) {
  test_type<float>();
  test_type<double>();
  test_half<gapo::Float16>();
  test_half<gapo::BFloat16>();
}
