// The argument checks as ops of their own, gapo_checks::*, for the backends that are written in Python: they refuse
// what the others refuse, in the same words. Each takes its op's tensors and options, on any device, and computes
// nothing.
#include <torch/csrc/stable/library.h>

#include "torch/checks.h"
#include "torch/tensors.h"

namespace gapo::op {
namespace {

void advantage(const Tensor& rewards, double tau, const Text& center, const Text& scale, double eps,
               const std::optional<Tensor>& valid) {
  check_advantage(rewards, {tau, center, scale, eps, valid});
}

void advantage_varlen(const Tensor& rewards, const Tensor& offsets, int64_t max_group_size, double tau,
                      const Text& center, const Text& scale, double eps, const std::optional<Tensor>& valid) {
  check_advantage_varlen(rewards, offsets, max_group_size, {tau, center, scale, eps, valid});
}

// Checks the offsets' values, which advantage_varlen's check does not read, since they may lie on any device. given: on
// the CPU.
void offsets(const Tensor& given, int64_t rewards, int64_t max_group_size) {
  const Tensor offsets = as_type(given, ScalarType::Long);
  check_offsets("advantage_varlen", data<int64_t>(offsets), offsets.size(0) - 1, rewards, max_group_size);
}

void advantage_by_id(const Tensor& rewards, const Tensor& group_ids, double tau, const Text& center, const Text& scale,
                     double eps, const std::optional<Tensor>& valid) {
  check_advantage_by_id(rewards, group_ids, {tau, center, scale, eps, valid});
}

void advantage_stats(const Tensor& rewards, const std::optional<Tensor>& group_ids, double tau, const Text& center,
                     const Text& scale, double eps, const std::optional<Tensor>& valid) {
  check_advantage_stats(rewards, group_ids, {tau, center, scale, eps, valid});
}

void token_advantage(const Tensor& token_rewards, const Tensor& mask, const Tensor& group_ids, double tau,
                     const Text& center, const Text& scale, double eps, const std::optional<Tensor>& valid) {
  check_token_advantage(token_rewards, mask, group_ids, {tau, center, scale, eps, valid});
}

}  // namespace
}  // namespace gapo::op

#define GAPO_OPTIONS "float tau, str center, str scale, float eps, Tensor? valid"

STABLE_TORCH_LIBRARY(gapo_checks, m) {
  m.def("advantage(Tensor rewards, " GAPO_OPTIONS ") -> ()");
  m.def("advantage_varlen(Tensor rewards, Tensor offsets, int max_group_size, " GAPO_OPTIONS ") -> ()");
  m.def("offsets(Tensor offsets, int rewards, int max_group_size) -> ()");
  m.def("advantage_by_id(Tensor rewards, Tensor group_ids, " GAPO_OPTIONS ") -> ()");
  m.def("advantage_stats(Tensor rewards, Tensor? group_ids, " GAPO_OPTIONS ") -> ()");
  m.def("token_advantage(Tensor token_rewards, Tensor mask, Tensor group_ids, " GAPO_OPTIONS ") -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(gapo_checks, CompositeExplicitAutograd, m) {
  m.impl("advantage", TORCH_BOX(&gapo::op::advantage));
  m.impl("advantage_varlen", TORCH_BOX(&gapo::op::advantage_varlen));
  m.impl("offsets", TORCH_BOX(&gapo::op::offsets));
  m.impl("advantage_by_id", TORCH_BOX(&gapo::op::advantage_by_id));
  m.impl("advantage_stats", TORCH_BOX(&gapo::op::advantage_stats));
  m.impl("token_advantage", TORCH_BOX(&gapo::op::token_advantage));
}
