// Tensors as the backends take them, through torch's stable ABI.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <vector>

#include "definition.h"
#include "mask.h"

namespace gapo {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Neither copies nor asks the dispatcher where there is nothing to do: a small call takes a few microseconds in all.
inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline Tensor as_type(const Tensor& tensor, ScalarType type) {
  return as_contiguous(tensor.scalar_type() == type ? tensor : torch::stable::to(tensor, type));
}

inline std::vector<int64_t> sizes_of(const Tensor& tensor) {
  const auto sizes = tensor.sizes();
  return {sizes.begin(), sizes.end()};
}

// float16 and bfloat16 are computed in float32.
inline ScalarType precision_of(const Tensor& rewards) {
  return rewards.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

template <typename T>
const T* data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.data_ptr());
}
template <typename T>
T* mutable_data(const Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

// The memory of an optional mask, kept alive as long as this is.
struct Valid {
  explicit Valid(const std::optional<Tensor>& mask) {
    if (mask) held = as_contiguous(*mask);
  }
  const bool* get() const { return held ? data<bool>(*held) : nullptr; }
  std::optional<Tensor> held;
};

// The shape of the statistics: [..., 4], one row per group, or with ids [N, 4], one row per reward.
inline std::vector<int64_t> stats_shape(const Tensor& rewards, bool by_row) {
  std::vector<int64_t> shape = sizes_of(rewards);
  if (!by_row) shape.pop_back();
  shape.push_back(kStatistics);
  return shape;
}

// A matrix whose rows the kernels can read. Columns of a larger one are not copied.
inline Tensor as_rows(const Tensor& matrix) {
  return matrix.size(1) <= 1 || matrix.strides()[1] == 1 ? matrix : as_contiguous(matrix);
}

template <typename T>
Matrix<const T> rows_of(const Tensor& matrix) {
  return {data<T>(matrix), matrix.strides()[0]};
}

// A mask's memory, kept alive as long as this is.
struct HeldMask {
  Tensor tensor;
  MaskType type;
  Mask get() const { return {tensor.data_ptr(), tensor.strides()[0], type}; }
};

// The mask in one of the types that the kernels read.
inline HeldMask prepare_mask(const Tensor& mask) {
  switch (mask.scalar_type()) {
    case ScalarType::Bool:
      return {as_rows(mask), MaskType::kBool};
    case ScalarType::Byte:
      return {as_rows(mask), MaskType::kUint8};
    case ScalarType::Int:
      return {as_rows(mask), MaskType::kInt32};
    case ScalarType::Char:
    case ScalarType::Short:
      return {as_type(mask, ScalarType::Int), MaskType::kInt32};
    case ScalarType::Long:
      return {as_rows(mask), MaskType::kInt64};
    case ScalarType::UInt16:
    case ScalarType::UInt32:
      return {as_type(mask, ScalarType::Long), MaskType::kInt64};
    case ScalarType::Half:
      return {as_rows(mask), MaskType::kFloat16};
    case ScalarType::BFloat16:
      return {as_rows(mask), MaskType::kBFloat16};
    case ScalarType::Double:
      return {as_rows(mask), MaskType::kDouble};
    case ScalarType::UInt64:
      return {as_type(mask, ScalarType::Double), MaskType::kDouble};
    default:
      return {as_type(mask, ScalarType::Float), MaskType::kFloat};
  }
}

}  // namespace gapo
