// How the core runs a loop on the caller's threads without knowing whose they are.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace gapo {

// A reference to a callable void(int64_t begin, int64_t end); it owns nothing.
class RangeBody {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, RangeBody>)
  RangeBody(F&& body)  // NOLINT: implicit, as std::function
      : object_(const_cast<void*>(static_cast<const void*>(&body))),
        call_([](void* object, int64_t begin, int64_t end) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end);
        }) {}

  void operator()(int64_t begin, int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int64_t);
};

// Calls `body` on disjoint ranges that cover [0, count), each of at least `grain` where that many are left.
using ParallelFor = void (*)(int64_t count, int64_t grain, RangeBody body);

inline void serial_for(int64_t count, int64_t /*grain*/, RangeBody body) {
  if (count > 0) body(0, count);
}

struct Threads {
  ParallelFor parallel_for = serial_for;
  int64_t count = 1;
};

}  // namespace gapo
