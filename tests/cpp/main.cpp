// Tests of the torch-free core for the capability that GAPO_CPU_CAPABILITY names. Exits with 77 (skipped, as in
// automake) where this CPU does not run it.
#include <cstring>
#include <exception>
#include <iostream>

#include "check.h"
#include "cpu/backend.h"
#include "tests.h"

int main(int argc, char** argv) {
  const Effort effort = argc > 1 && std::strcmp(argv[1], "--small") == 0 ? Effort::kSmall : Effort::kFull;
  try {
    std::cout << "capability " << gapo::backend().name << '\n';
  } catch (const std::exception& error) {
    std::cout << "skipped: " << error.what() << '\n';
    return 77;
  }
  constexpr struct {
    const char* name;
    void (*run)(Effort);
  } tests[] = {
      {"networks", test_networks},         {"sort_columns", test_sort_columns},
      {"load_columns", test_load_columns}, {"sort_group", test_sort_group},
      {"ranked_group", test_ranked_group}, {"compress", test_compress},
      {"contiguous", test_contiguous},     {"by_id", test_by_id},
      {"grouping", test_grouping},         {"tokens", test_tokens},
      {"threads", test_threads},           {"batches", test_batches},
  };
  for (const auto& test : tests) {
    const int64_t count = check::count, failures = check::failures;
    test.run(effort);
    check::current_case = test.name;
    CHECK(check::count > count);  // a test of nothing
    std::cout << test.name << ": " << check::count - count << " checks, " << check::failures - failures << " failed\n";
  }
  return check::failures == 0 ? 0 : 1;
}
