// What the ops say about arguments that do not fit: the argument's name, what was expected, what came.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "definition.h"
#include "torch/text.h"

// Throws with a message that begins with the op's name. STD_TORCH_CHECK would put this file's name and line before it.
#define GAPO_CHECK(holds, op, ...)                                                   \
  do {                                                                               \
    if (!(holds)) throw std::runtime_error(gapo::joined("gapo::", op, __VA_ARGS__)); \
  } while (false)

namespace gapo {

template <typename... Parts>
std::string joined(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The arguments that every op ends with.
struct Options {
  double tau;
  const Text& center;
  const Text& scale;
  double eps;
  const std::optional<Tensor>& valid;
};

// Check the arguments of an op, on any device, and return the rule to compute by.
Rule check_advantage(const Tensor& rewards, const Options& options);
Rule check_advantage_varlen(const Tensor& rewards, const Tensor& offsets, int64_t max_group_size,
                            const Options& options);
Rule check_advantage_by_id(const Tensor& rewards, const Tensor& group_ids, const Options& options);
Rule check_advantage_stats(const Tensor& rewards, const std::optional<Tensor>& group_ids, const Options& options);
Rule check_token_advantage(const Tensor& token_rewards, const Tensor& mask, const Tensor& group_ids,
                           const Options& options);

// Checks the values of offsets that lie in the CPU's memory: [count + 1].
void check_offsets(const char* op, const int64_t* offsets, int64_t count, int64_t rewards, int64_t max_group_size);

}  // namespace gapo
