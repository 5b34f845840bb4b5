// Integers for group ids that are Python objects, such as verl's uid strings.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

namespace gapo {

// The number of an object that is equal to `object`, or the next one.
inline int64_t number_of(PyObject* object, pybind11::dict& numbers) {
  PyObject* const known = PyDict_GetItemWithError(numbers.ptr(), object);
  if (known != nullptr) return PyLong_AsLongLong(known);
  if (PyErr_Occurred()) throw pybind11::error_already_set();  // it has no hash, or cannot be compared
  const auto next = static_cast<int64_t>(numbers.size());
  if (PyDict_SetItem(numbers.ptr(), object, pybind11::int_(next).ptr()) != 0) throw pybind11::error_already_set();
  return next;
}

// int64 [rows], equal where and only where two objects are, and a dict of the distinct ones with their numbers, which
// count from 0 in the order of first rows.
//
// Frameworks repeat one string object for all rows of its group: most rows are found by the object's address, without a
// hash or a comparison. The tuple keeps all objects alive, so no address comes to stand for another one.
inline pybind11::tuple number_objects(const pybind11::tuple& rows) {
  struct Seen {
    PyObject* object = nullptr;
    int64_t number = 0;
  };
  constexpr int kBits = 12;  // 64 KiB: in an L2
  std::vector<Seen> seen(std::size_t{1} << kBits);
  pybind11::dict numbers;
  pybind11::array_t<int64_t> result(static_cast<pybind11::ssize_t>(rows.size()));
  int64_t* const number = result.mutable_data();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    PyObject* const object = PyTuple_GET_ITEM(rows.ptr(), static_cast<Py_ssize_t>(row));
    Seen& found = seen[(reinterpret_cast<uintptr_t>(object) * 0x9E3779B97F4A7C15) >> (64 - kBits)];
    if (found.object != object) found = {object, number_of(object, numbers)};
    number[row] = found.number;
  }
  return pybind11::make_tuple(result, numbers);
}

}  // namespace gapo
