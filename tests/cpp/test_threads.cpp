// To the bit: any number of threads, and a group alone or in a batch.
#include "batch.h"
#include "check.h"
#include "reference.h"
#include "split.h"
#include "tests.h"

namespace {

template <typename T>
void check_same(const Result<T>& got, const Result<T>& expected) {
  for (std::size_t i = 0; i < got.advantage.size(); ++i) CHECK_BITS(got.advantage[i], expected.advantage[i]);
  for (std::size_t i = 0; i < got.stats.size(); ++i) CHECK_BITS(got.stats[i], expected.stats[i]);
}

template <typename T>
void check_threads(const gapo::Rule& rule, const Rewards<T>& rewards, Form form) {
  const Result<T> serial = run(rule, rewards, form);
  with_split_threads([&](const gapo::Threads& threads) {
    check::current_case = describe(rule, rewards.size(0)) + ", threads " + std::to_string(threads.count);
    check_same(run(rule, rewards, form, threads), serial);
  });
}

// A group of its own must come out as it did in the batch.
template <typename T>
void check_alone(const gapo::Rule& rule, const Rewards<T>& rewards, Form form) {
  const Result<T> together = run(rule, rewards, form);
  for (int64_t g = 0; g < rewards.count(); ++g) {
    if (rewards.size(g) == 0) continue;
    check::current_case = describe(rule, rewards.size(g)) + ", number " + std::to_string(g);
    Rewards<T> alone;
    alone.add(rewards.group(g));
    const auto advantage = together.advantage.begin() + rewards.offsets[g];
    check_same(run(rule, alone, form), {{advantage, advantage + rewards.size(g)},
                                        {together.stats.begin() + 4 * g, together.stats.begin() + 4 * (g + 1)}});
  }
}

template <typename T>
void test_threads_type(Effort effort) {
  std::vector<int64_t> ragged{8, 100, 5000, 7, 0, 4096, 40000};
  ragged.resize(600, 16);  // small groups for several tasks
  const auto rules = every_rule();
  for (std::size_t i = 0; i < rules.size(); i += effort == Effort::kFull ? 1 : 5) {
    check_threads(rules[i], mixed_rewards<T>(ragged, i), Form::kOffsets);
    check_threads(rules[i], mixed_rewards<T>(std::vector<int64_t>(3000, 16), i), Form::kEqual);
    check_threads(rules[i], mixed_rewards<T>(std::vector<int64_t>(3, 35000), i), Form::kEqual);
    for (int64_t n : {12000, 30000, 70000}) check_threads(rules[i], mixed_rewards<T>({n}, i), Form::kEqual);
    check_threads(rules[i], mixed_rewards<T>({1200, 1, 1300, 0, 4096, 1024, 7}, i), Form::kOffsets);  // one by one
  }
}

template <typename T>
void test_batches_type(Effort effort) {
  std::vector<int64_t> ragged{0, 4, 8, 16, 31, 257, 300, 1000, 2048, 4096, 4097};
  for (int64_t i = 0; i < 60; ++i) ragged.push_back(i % 4 < 2 ? 300 : 1 + i * 7 % 64);
  const auto rules = every_rule();
  for (std::size_t i = 0; i < rules.size(); i += effort == Effort::kFull ? 1 : 5) {
    for (uint64_t seed = i; seed < i + 3; ++seed) {
      check_alone(rules[i], mixed_rewards<T>(ragged, seed), Form::kOffsets);
      for (int64_t n : {4, 8, 13, 63, 64, 65, 128, 256, 600, 1500}) {  // alone, the longer ones fill all lanes
        check_alone(rules[i], mixed_rewards<T>(std::vector<int64_t>(37, n), seed), Form::kEqual);
      }
    }
  }
}

}  // namespace

void test_threads(Effort effort) {
  test_threads_type<float>(effort);
  test_threads_type<double>(effort);
}

void test_batches(Effort effort) {
  test_batches_type<float>(effort);
  test_batches_type<double>(effort);
}
