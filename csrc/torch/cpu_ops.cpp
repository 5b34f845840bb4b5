// The CPU implementations of torch.ops.gapo.*: check, bring the memory into order, call the core.
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <string_view>
#include <tuple>
#include <vector>

#include "cpu/op.h"
#include "torch/checks.h"
#include "torch/tensors.h"

namespace gapo::op {
namespace {

void torch_parallel(int64_t count, int64_t grain, RangeBody body) {
  torch::stable::parallel_for(0, count, grain, body);
}

Threads torch_threads() { return {torch_parallel, static_cast<int64_t>(torch::stable::get_num_threads())}; }

// A fresh result of this size is mapped page by page as it is first written, which takes longer than writing it; from
// 32 MiB on, malloc gives it a mapping of its own, and Linux may back that with huge pages.
constexpr std::size_t kOwnMapping = std::size_t{32} << 20;

void prefer_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  if (bytes < kOwnMapping) return;
  constexpr std::uintptr_t page = 4096;
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: where it is refused nothing changes
#endif
}

int32_t aoti_dtype(ScalarType type) {
  switch (type) {
    case ScalarType::Double:
      return aoti_torch_dtype_float64();
    case ScalarType::Half:
      return aoti_torch_dtype_float16();
    case ScalarType::BFloat16:
      return aoti_torch_dtype_bfloat16();
    default:
      return aoti_torch_dtype_float32();
  }
}

// Uninitialised, contiguous, on the CPU; straight from the allocator: the dispatcher takes half a microsecond.
Tensor empty(const std::vector<int64_t>& sizes, ScalarType type) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (std::size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * (sizes[d] > 0 ? sizes[d] : 1);
  AtenTensorHandle handle = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(),
                                                  aoti_dtype(type), aoti_torch_device_type_cpu(), 0, &handle));
  const Tensor tensor(handle);
  prefer_huge_pages(tensor.data_ptr(), static_cast<std::size_t>(tensor.numel()) * tensor.element_size());
  return tensor;
}

// Calls body(T{}) with the C++ type of the precision.
template <typename Body>
void with_precision(ScalarType precision, Body body) {
  if (precision == ScalarType::Double) {
    body(double{});
  } else {
    body(float{});
  }
}

// Calls body(Token{}) with the C++ type that holds one float of this type.
template <typename Body>
void with_token(ScalarType type, Body body) {
  if (type == ScalarType::Half) return body(Float16{});
  if (type == ScalarType::BFloat16) return body(BFloat16{});
  with_precision(type, body);
}

// Rewards in the precision of the computation, with room for the result.
struct Prepared {
  explicit Prepared(const Tensor& given)
      : precision(precision_of(given)),
        rewards(as_type(given, precision)),
        advantage(empty(sizes_of(rewards), precision)),
        result_type(given.scalar_type()) {}
  Tensor result() const { return as_type(advantage, result_type); }

  ScalarType precision;
  Tensor rewards, advantage;
  ScalarType result_type;
};

// Groups that lie one after the other, described as Groups has them. stats: [count, 4] to be filled, or none.
Tensor side_by_side(const Rule& rule, const Prepared& call, const int64_t* offsets, int64_t group_size, int64_t count,
                    const std::optional<Tensor>& valid, const std::optional<Tensor>& stats) {
  const Valid mask(valid);
  with_precision(call.precision, [&](auto zero) {
    using T = decltype(zero);
    const Groups<T> groups{data<T>(call.rewards), offsets, group_size, count};
    const Output<T> out{mutable_data<T>(call.advantage), stats ? mutable_data<T>(*stats) : nullptr};
    contiguous_advantage<T>(rule, groups, mask.get(), out, torch_threads());
  });
  return call.result();
}

Tensor dense(const Rule& rule, const Tensor& rewards, const std::optional<Tensor>& valid, const Prepared& call,
             const std::optional<Tensor>& stats) {
  const int64_t size = rewards.size(rewards.dim() - 1);
  // groups without rewards still have a row of statistics, NaN
  const int64_t count = stats ? stats->numel() / kStatistics : size == 0 ? 0 : rewards.numel() / size;
  return side_by_side(rule, call, nullptr, size, count, valid, stats);
}

Tensor advantage(const Tensor& rewards, double tau, const Text& center, const Text& scale, double eps,
                 const std::optional<Tensor>& valid) {
  const Rule rule = check_advantage(rewards, {tau, center, scale, eps, valid});
  return dense(rule, rewards, valid, Prepared(rewards), std::nullopt);
}

Tensor advantage_varlen(const Tensor& rewards, const Tensor& offsets, int64_t max_group_size, double tau,
                        const Text& center, const Text& scale, double eps, const std::optional<Tensor>& valid) {
  const Rule rule = check_advantage_varlen(rewards, offsets, max_group_size, {tau, center, scale, eps, valid});
  const Tensor bounds = as_type(offsets, ScalarType::Long);
  const int64_t count = bounds.size(0) - 1;
  check_offsets("advantage_varlen", data<int64_t>(bounds), count, rewards.size(0), max_group_size);
  return side_by_side(rule, Prepared(rewards), data<int64_t>(bounds), 0, count, valid, std::nullopt);
}

// stats: [N, 4] to be filled, or none.
Tensor by_id(const Rule& rule, const Tensor& rewards, const Tensor& group_ids, const std::optional<Tensor>& valid,
             const Prepared& call, const std::optional<Tensor>& stats) {
  const Tensor ids = as_type(group_ids, ScalarType::Long);
  const Valid mask(valid);
  with_precision(call.precision, [&](auto zero) {
    using T = decltype(zero);
    const Output<T> out{mutable_data<T>(call.advantage), stats ? mutable_data<T>(*stats) : nullptr};
    gapo::advantage_by_id<T>(rule, data<T>(call.rewards), data<int64_t>(ids), rewards.size(0), mask.get(), out,
                             torch_threads());
  });
  return call.result();
}

Tensor advantage_by_id(const Tensor& rewards, const Tensor& group_ids, double tau, const Text& center,
                       const Text& scale, double eps, const std::optional<Tensor>& valid) {
  const Rule rule = check_advantage_by_id(rewards, group_ids, {tau, center, scale, eps, valid});
  return by_id(rule, rewards, group_ids, valid, Prepared(rewards), std::nullopt);
}

std::tuple<Tensor, Tensor> advantage_stats(const Tensor& rewards, const std::optional<Tensor>& group_ids, double tau,
                                           const Text& center, const Text& scale, double eps,
                                           const std::optional<Tensor>& valid) {
  const Rule rule = check_advantage_stats(rewards, group_ids, {tau, center, scale, eps, valid});
  const Prepared call(rewards);
  const Tensor stats = empty(stats_shape(rewards, group_ids.has_value()), call.precision);
  const Tensor advantage =
      group_ids ? by_id(rule, rewards, *group_ids, valid, call, stats) : dense(rule, rewards, valid, call, stats);
  return {advantage, as_type(stats, call.result_type)};
}

Tensor token_advantage(const Tensor& token_rewards, const Tensor& mask, const Tensor& group_ids, double tau,
                       const Text& center, const Text& scale, double eps, const std::optional<Tensor>& valid) {
  const Rule rule = check_token_advantage(token_rewards, mask, group_ids, {tau, center, scale, eps, valid});
  const Tensor ids = as_type(group_ids, ScalarType::Long);
  const HeldMask typed_mask = prepare_mask(mask);
  const Tensor tokens = as_rows(token_rewards);
  const Tensor result = empty(sizes_of(tokens), tokens.scalar_type());
  const Valid valid_rows(valid);
  with_token(tokens.scalar_type(), [&](auto zero) {
    using Token = decltype(zero);
    gapo::token_advantage<Token>(rule, rows_of<Token>(tokens), typed_mask.get(), data<int64_t>(ids), tokens.size(0),
                                 tokens.size(1), valid_rows.get(), mutable_data<Token>(result), torch_threads());
  });
  return result;
}

}  // namespace
}  // namespace gapo::op

// GAPO_BACKEND=reference leaves every device to the Python reference.
STABLE_TORCH_LIBRARY_IMPL(gapo, CPU, m) {
  const char* forced = std::getenv("GAPO_BACKEND");
  if (forced != nullptr && std::string_view(forced) == "reference") return;
  m.impl("advantage", TORCH_BOX(&gapo::op::advantage));
  m.impl("advantage_varlen", TORCH_BOX(&gapo::op::advantage_varlen));
  m.impl("advantage_by_id", TORCH_BOX(&gapo::op::advantage_by_id));
  m.impl("advantage_stats", TORCH_BOX(&gapo::op::advantage_stats));
  m.impl("token_advantage", TORCH_BOX(&gapo::op::token_advantage));
}
