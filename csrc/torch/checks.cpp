#include "torch/checks.h"

#include <algorithm>

#include "rule.h"

namespace gapo {
namespace {

const char* dtype_name(ScalarType type) {
  switch (type) {
    case ScalarType::Bool:
      return "bool";
    case ScalarType::Byte:
      return "uint8";
    case ScalarType::Char:
      return "int8";
    case ScalarType::UInt16:
      return "uint16";
    case ScalarType::UInt32:
      return "uint32";
    case ScalarType::UInt64:
      return "uint64";
    case ScalarType::Short:
      return "int16";
    case ScalarType::Int:
      return "int32";
    case ScalarType::Long:
      return "int64";
    case ScalarType::Half:
      return "float16";
    case ScalarType::BFloat16:
      return "bfloat16";
    case ScalarType::Float:
      return "float32";
    case ScalarType::Double:
      return "float64";
    default:
      return torch::headeronly::toString(type);
  }
}

bool is_floating(const Tensor& tensor) {
  if (!tensor.defined()) return false;
  const ScalarType type = tensor.scalar_type();
  return type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::Half ||
         type == ScalarType::BFloat16;
}

bool is_integer(const Tensor& tensor) {
  if (!tensor.defined()) return false;
  const ScalarType type = tensor.scalar_type();
  return type == ScalarType::Byte || type == ScalarType::Char || type == ScalarType::Short || type == ScalarType::Int ||
         type == ScalarType::Long || type == ScalarType::UInt16 || type == ScalarType::UInt32 ||
         type == ScalarType::UInt64;
}

// "[4, 2]": the first `dims` extents.
std::string shape_of(const Tensor& tensor, int64_t dims) {
  std::string text = "[";
  for (int64_t d = 0; d < dims; ++d) text += (d ? ", " : "") + std::to_string(tensor.size(d));
  return text + "]";
}

// "int64 [4, 2]": dtype and shape, as a user knows them.
std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) return "None";
  return std::string(dtype_name(tensor.scalar_type())) + " " + shape_of(tensor, tensor.dim());
}

bool has_shape(const Tensor& tensor, const Tensor& like, int64_t dims) {
  bool same = tensor.dim() == dims;
  for (int64_t d = 0; same && d < dims; ++d) same = tensor.size(d) == like.size(d);
  return same;
}

std::string device_name(const Tensor& tensor) {
  using torch::headeronly::DeviceType;
  const torch::stable::Device device = tensor.device();
  switch (device.type()) {
    case DeviceType::CPU:
      return "cpu";
    case DeviceType::CUDA:
      return "cuda:" + std::to_string(device.index());
    case DeviceType::Meta:
      return "meta";
    default:
      return "a device of another type";
  }
}

Rule check_rule(const char* op, const Options& options) {
  const auto read = read_rule(options.tau, options.center.value, options.scale.value, options.eps);
  const auto* wrong = std::get_if<std::string>(&read);
  GAPO_CHECK(wrong == nullptr, op, " ", *wrong);
  return std::get<Rule>(read);
}

void check_rewards(const char* op, const char* argument, const Tensor& tensor, const char* shape, bool fits) {
  GAPO_CHECK(is_floating(tensor) && fits, op, " expects float ", argument, " ", shape, ", got ", describe(tensor));
}

void check_group_size(const char* op, int64_t most) {
  GAPO_CHECK(most <= kMostInGroup, op, " expects groups of fewer than 2^31 rewards, got ", most);
}

void check_integers(const char* op, const char* argument, const Tensor& tensor, int64_t length, const char* shape) {
  GAPO_CHECK(is_integer(tensor) && tensor.dim() == 1 && tensor.size(0) == length, op, " expects integer ", argument,
             " ", shape, " with N = ", length, ", got ", describe(tensor));
}

void check_same_device(const char* op, const char* argument, const Tensor& tensor, const Tensor& rewards) {
  GAPO_CHECK(tensor.device() == rewards.device(), op, " expects ", argument, " on ", device_name(rewards),
             ", as the rewards, got ", device_name(tensor));
}

void check_valid(const char* op, const std::optional<Tensor>& valid, const Tensor& rewards, int64_t dims) {
  if (!valid) return;
  GAPO_CHECK(has_shape(*valid, rewards, dims) && valid->scalar_type() == ScalarType::Bool, op, " expects bool valid ",
             shape_of(rewards, dims), ", got ", describe(*valid));
  check_same_device(op, "valid", *valid, rewards);
}

void check_mask(const char* op, const Tensor& mask, const Tensor& token_rewards) {
  const bool typed =
      is_floating(mask) || is_integer(mask) || (mask.defined() && mask.scalar_type() == ScalarType::Bool);
  GAPO_CHECK(typed && has_shape(mask, token_rewards, 2), op, " expects a bool, integer or float mask ",
             shape_of(token_rewards, 2), ", got ", describe(mask));
  check_same_device(op, "mask", mask, token_rewards);
}

void check_ids(const char* op, const Tensor& ids, const Tensor& rewards) {
  // one group may have them all
  GAPO_CHECK(rewards.size(0) <= kMostInGroup, op, " expects fewer than 2^31 rows, got ", rewards.size(0));
  check_integers(op, "group_ids", ids, rewards.size(0), "[N]");
  check_same_device(op, "group_ids", ids, rewards);
}

}  // namespace

Rule check_advantage(const Tensor& rewards, const Options& options) {
  constexpr const char* op = "advantage";
  const Rule rule = check_rule(op, options);
  check_rewards(op, "rewards", rewards, "[..., group_size]", rewards.dim() >= 1);
  check_group_size(op, rewards.size(rewards.dim() - 1));
  check_valid(op, options.valid, rewards, rewards.dim());
  return rule;
}

Rule check_advantage_varlen(const Tensor& rewards, const Tensor& offsets, int64_t max_group_size,
                            const Options& options) {
  constexpr const char* op = "advantage_varlen";
  const Rule rule = check_rule(op, options);
  check_rewards(op, "rewards", rewards, "[N]", rewards.dim() == 1);
  const bool typed =
      offsets.defined() && (offsets.scalar_type() == ScalarType::Int || offsets.scalar_type() == ScalarType::Long);
  GAPO_CHECK(typed && offsets.dim() == 1 && offsets.size(0) >= 1, op,
             " expects int32 or int64 offsets [groups + 1], got ", describe(offsets));
  check_same_device(op, "offsets", offsets, rewards);
  GAPO_CHECK(max_group_size >= 0, op, " expects max_group_size >= 0, got ", max_group_size);
  check_group_size(op, std::min(max_group_size, rewards.size(0)));
  check_valid(op, options.valid, rewards, 1);
  return rule;
}

Rule check_advantage_by_id(const Tensor& rewards, const Tensor& group_ids, const Options& options) {
  constexpr const char* op = "advantage_by_id";
  const Rule rule = check_rule(op, options);
  check_rewards(op, "rewards", rewards, "[N]", rewards.dim() == 1);
  check_valid(op, options.valid, rewards, 1);
  check_ids(op, group_ids, rewards);
  return rule;
}

Rule check_advantage_stats(const Tensor& rewards, const std::optional<Tensor>& group_ids, const Options& options) {
  constexpr const char* op = "advantage_stats";
  Rule rule = check_rule(op, options);
  rule.report_window = true;
  const int64_t dims = rewards.dim();
  check_rewards(op, "rewards", rewards, group_ids ? "[N]" : "[..., group_size]", group_ids ? dims == 1 : dims >= 1);
  check_valid(op, options.valid, rewards, dims);
  group_ids ? check_ids(op, *group_ids, rewards) : check_group_size(op, rewards.size(dims - 1));
  return rule;
}

Rule check_token_advantage(const Tensor& token_rewards, const Tensor& mask, const Tensor& group_ids,
                           const Options& options) {
  constexpr const char* op = "token_advantage";
  const Rule rule = check_rule(op, options);
  check_rewards(op, "token_rewards", token_rewards, "[N, L]", token_rewards.dim() == 2);
  check_mask(op, mask, token_rewards);
  check_valid(op, options.valid, token_rewards, 1);
  check_ids(op, group_ids, token_rewards);
  return rule;
}

void check_offsets(const char* op, const int64_t* offsets, int64_t count, int64_t rewards, int64_t max_group_size) {
  GAPO_CHECK(offsets[0] == 0, op, " expects offsets to start at 0, got ", offsets[0]);
  GAPO_CHECK(offsets[count] == rewards, op, " expects offsets to end at the number of rewards, ", rewards, ", got ",
             offsets[count]);
  for (int64_t g = 0; g < count; ++g) {
    GAPO_CHECK(offsets[g] <= offsets[g + 1], op, " expects offsets that do not decrease, got ", offsets[g], " before ",
               offsets[g + 1], " at group ", g);
    const int64_t size = offsets[g + 1] - offsets[g];  // from 0 on and not decreasing: no overflow
    GAPO_CHECK(size <= max_group_size, op, " expects groups of at most max_group_size = ", max_group_size,
               " rewards, got ", size, " in group ", g);
  }
}

}  // namespace gapo
