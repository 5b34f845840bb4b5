// The torch-free entry point: NumPy arrays into the C++ core, the build's facts, the launch plan of a shape.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <sstream>
#include <string>

#include "cpu/op.h"
#include "cuda/tiers.h"
#include "number_objects.h"
#include "rule.h"

namespace py = pybind11;

namespace gapo {
namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;
using Ids = std::optional<Array<int64_t>>;
using Mask = std::optional<Array<bool>>;

// [count] of every entry's name in a table of the definition
template <typename Table>
py::tuple tuple_of_names(const Table& table) {
  py::list names;
  for (const auto& entry : table) names.append(std::string(entry.name));
  return py::tuple(names);
}

template <typename T>
py::tuple run(const Array<T>& rewards, const Ids& ids, double tau, const std::string& center, const std::string& scale,
              double eps, const Mask& valid) {
  const auto read = read_rule(tau, center, scale, eps);
  if (const auto* wrong = std::get_if<std::string>(&read)) throw py::value_error("advantage " + *wrong);
  Rule rule = std::get<Rule>(read);
  rule.report_window = true;
  std::vector<py::ssize_t> shape(rewards.shape(), rewards.shape() + rewards.ndim());
  Array<T> advantage(shape);
  const int64_t group_size = ids ? 0 : shape.back();
  if (const int64_t most = ids ? rewards.size() : group_size; most > kMostInGroup) {
    const std::string limit = ids ? "fewer than 2^31 rows" : "groups of fewer than 2^31 rewards";
    throw py::value_error("advantage expects " + limit + ", got " + std::to_string(most));
  }
  if (!ids) shape.pop_back();
  shape.push_back(kStatistics);
  Array<T> stats(shape);
  const Output<T> out{advantage.mutable_data(), stats.mutable_data()};
  const bool* mask = valid ? valid->data() : nullptr;
  {
    py::gil_scoped_release release;
    if (ids) {
      advantage_by_id<T>(rule, rewards.data(), ids->data(), rewards.size(), mask, out, {});
    } else {
      contiguous_advantage<T>(rule, {rewards.data(), nullptr, group_size, stats.size() / kStatistics}, mask, out, {});
    }
  }
  return py::make_tuple(advantage, stats);
}

py::dict build_info() {
  py::dict facts;
  facts["revision"] = GAPO_REVISION;
  facts["torch"] = GAPO_BUILD_TORCH;
#if defined(__clang__)
  facts["compiler"] = __VERSION__;  // which names clang
#else
  facts["compiler"] = "GCC " __VERSION__;
#endif
  facts["cpu_capability"] = backend().name;
  const std::string cuda = GAPO_CUDA_VERSION;  // empty: no CUDA kernels in this build
  facts["cuda"] = cuda.empty() ? py::object(py::none()) : py::str(cuda);
  py::list architectures;
  std::istringstream words(GAPO_CUDA_ARCHITECTURES);
  for (std::string word; words >> word;) architectures.append(word);
  facts["cuda_architectures"] = py::tuple(architectures);
  return facts;
}

py::dict describe_class(const cuda::SizeClass& shape, bool doubles) {
  const int64_t value_bytes = doubles ? 8 : 4;
  py::dict facts;
  facts["tier"] = cuda::kTierNames[static_cast<int>(shape.tier)];
  facts["largest"] = shape.capacity();
  facts["lanes"] = shape.lanes;
  facts["rewards_per_lane"] = shape.rewards;
  facts["threads"] = shape.threads;
  facts["groups_per_block"] = shape.groups_per_block();
  facts["shared_bytes"] = cuda::shared_values(shape, value_bytes) * value_bytes + cuda::scratch_bytes(shape);
  return facts;
}

// The rows of the table of size classes, with their budgets.
py::list cuda_size_classes() {
  py::list rows;
  for (const auto& shape : cuda::kSizeClasses) {
    py::dict row = describe_class(shape, false);
    row["registers"] = shape.registers;
    row["double_registers"] = shape.double_registers;
    row["instructions"] = shape.instructions;
    rows.append(row);
  }
  return rows;
}

// A dense call on the CPU, by a rule that needs the rewards in order.
py::dict plan(int64_t groups, int64_t group_size, bool doubles) {
  const bool columns = group_size <= kLargestColumn;
  const int64_t lanes = columns ? backend().float_lanes / (doubles ? 2 : 1) : 1;
  py::dict chosen;
  chosen["device"] = "cpu";
  chosen["tier"] = columns ? "columns" : "ranked";
  chosen["lanes"] = lanes;
  chosen["tasks"] = groups / lanes + (groups % lanes != 0);  // divide_up would overflow
  return chosen;
}

// A dense call on a CUDA device; larger groups than kLargestSorted are planned by the number of the GPU's processors.
py::dict cuda_plan(int64_t groups, int64_t group_size, bool doubles) {
  const int chosen = cuda::size_class(group_size);
  py::dict facts;
  if (chosen < 0) {
    facts["tier"] = cuda::kTierNames[static_cast<int>(cuda::Tier::kBinned)];
  } else {
    const cuda::SizeClass& shape = cuda::kSizeClasses[chosen];
    facts = describe_class(shape, doubles);
    facts["blocks"] = groups / shape.groups_per_block() + (groups % shape.groups_per_block() != 0);
  }
  facts["device"] = "cuda";
  return facts;
}

}  // namespace
}  // namespace gapo

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core; gapo_numpy checks the arrays and documents the arguments.";
  m.attr("CENTERS") = gapo::tuple_of_names(gapo::kCenters);
  m.attr("SCALES") = gapo::tuple_of_names(gapo::kScales);
  m.attr("TAU") = gapo::Rule{}.tau;
  m.attr("EPS") = gapo::Rule{}.eps;
  m.def("run_float32", &gapo::run<float>);
  m.def("run_float64", &gapo::run<double>);
  m.def("number_objects", &gapo::number_objects);
  m.def("build_info", &gapo::build_info);
  m.def("plan", &gapo::plan);
  m.def("cuda_plan", &gapo::cuda_plan);
  m.def("cuda_size_classes", &gapo::cuda_size_classes);
}
