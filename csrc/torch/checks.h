// What the ops say about arguments that do not fit: the argument's name, what was expected, what came.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <string>

#include "definition.h"
#include "torch/text.h"

namespace gapo {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// "int64 [4, 2]": dtype and shape, as a user knows them.
std::string describe(const Tensor& tensor);

Rule check_rule(const char* op, double tau, const Text& center, const Text& scale, double eps);
void check_rewards(const char* op, const char* argument, const Tensor& tensor, const char* shape, bool fits);
void check_integers(const char* op, const char* argument, const Tensor& tensor, int64_t length, const char* shape);
void check_same_device(const char* op, const char* argument, const Tensor& tensor, const Tensor& rewards);
void check_mask(const char* op, const Tensor& mask, const Tensor& token_rewards);
// valid is one bool a row: for dense rewards one a reward
void check_valid(const char* op, const std::optional<Tensor>& valid, const Tensor& rewards, int64_t dims);
void check_offsets(const char* op, const int64_t* offsets, int64_t count, int64_t rewards, int64_t max_group_size);

}  // namespace gapo
