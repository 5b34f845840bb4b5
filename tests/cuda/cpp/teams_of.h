// The shapes for one type; included by a file for each, so that they compile side by side.
#include "cuda/tiers.h"
#include "test_teams.h"

namespace gapo::cuda {

template <typename T, std::size_t... I>
void test_classes(Effort effort, std::index_sequence<I...>) {
  (test_shape<T, kSizeClasses[I].lanes, kSizeClasses[I].rewards>(effort), ...);
}

template <typename T, std::size_t... I>
void test_ragged_classes(Effort effort, std::index_sequence<I...>) {
  (test_shape<T, kWarp, kRaggedRewards[I]>(effort), ...);
}

template <typename T>
void test_shapes(Effort effort) {
  test_classes<T>(effort, std::make_index_sequence<kSizeClassCount>{});
  test_ragged_classes<T>(effort, std::make_index_sequence<kRaggedClassCount>{});
}

}  // namespace gapo::cuda
