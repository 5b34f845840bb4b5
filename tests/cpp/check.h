// Checks that count themselves, print file:line with the values and the case, and make the program fail.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <string>

namespace check {

inline int64_t count = 0, failures = 0;
inline std::string current_case;  // what is being tested, printed with a failure

template <typename A, typename B>
void expect(bool passed, const char* file, int line, const char* what, const A& got, const B& expected) {
  ++count;
  if (passed || ++failures > 10) return;  // the first failures tell the story
  std::cerr.precision(17);
  std::cerr << file << ':' << line << ": " << what << ": got " << got << ", expected " << expected << " ["
            << current_case << "]\n";
}

template <typename A, typename B>
bool equal(A a, B b) {
  return a == b || (a != a && b != b);
}

// Any NaN is as good as another: which of two NaN operands an instruction passes on is the compiler's choice.
template <typename T>
bool same_bits(T a, T b) {
  return (a != a && b != b) || std::memcmp(&a, &b, sizeof(T)) == 0;
}

inline bool near(long double a, long double b, long double tolerance) {
  return equal(a, b) || std::abs(a - b) <= tolerance;
}

}  // namespace check

#define CHECK(condition) check::expect((condition), __FILE__, __LINE__, #condition, false, true)
#define CHECK_EQ(got, expected) \
  check::expect(check::equal((got), (expected)), __FILE__, __LINE__, #got, (got), (expected))
#define CHECK_BITS(got, expected) \
  check::expect(check::same_bits((got), (expected)), __FILE__, __LINE__, #got, (got), (expected))
#define CHECK_NEAR(got, expected, tolerance) \
  check::expect(check::near((got), (expected), (tolerance)), __FILE__, __LINE__, #got, (got), (expected))
