// Uninitialised scratch memory. Not std::vector, whose functions the linker could take from another instruction set's
// file.
#pragma once

#include "cpu/vec.h"

namespace gapo {
namespace {

template <typename Item>
class Buffer {
 public:
  explicit Buffer(int64_t size)
      : size_(size), items_(static_cast<Item*>(::operator new(bytes(), std::align_val_t{kVectorBytes}))) {}
  ~Buffer() { ::operator delete(items_, std::align_val_t{kVectorBytes}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  Item* data() { return items_; }
  Item& operator[](int64_t i) { return items_[i]; }
  void zero() { std::memset(items_, 0, bytes()); }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(Item); }

  int64_t size_;
  Item* items_;
};

}  // namespace
}  // namespace gapo
