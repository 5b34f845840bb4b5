#include "cpu/backend.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace gapo {

extern const Backend kBackend_baseline;
#if defined(__x86_64__)
extern const Backend kBackend_avx2;
extern const Backend kBackend_avx512;
#endif

namespace {

// The builds that this CPU runs, the best one last.
std::vector<const Backend*> runnable() {
  std::vector<const Backend*> found{&kBackend_baseline};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("f16c")) {
    found.push_back(&kBackend_avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      found.push_back(&kBackend_avx512);
    }
  }
#endif
  return found;
}

const Backend& choose() {
  const auto found = runnable();
  const char* wanted = std::getenv("GAPO_CPU_CAPABILITY");
  if (wanted == nullptr || *wanted == '\0') return *found.back();
  std::string names;
  for (const Backend* candidate : found) {
    if (std::string_view(candidate->name) == wanted) return *candidate;
    names += std::string(names.empty() ? "" : ", ") + candidate->name;
  }
  throw std::runtime_error("GAPO_CPU_CAPABILITY expects one of what this CPU runs (" + names + "), got " + wanted);
}

}  // namespace

const Backend& backend() {
  static const Backend& chosen = choose();
  return chosen;
}

}  // namespace gapo
