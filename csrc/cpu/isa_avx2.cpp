// The kernels for x86-64 CPUs with AVX2 (x86-64-v3).
//
// What comes from outside is included before the target is set, so that none of it is compiled for that target.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"

#if defined(__x86_64__)
#include "cpu/begin_avx2.h"
#include "cpu/kernels.h"

namespace gapo {
extern const Backend kBackend_avx2;
constexpr Backend kBackend_avx2 = make_backend("avx2");
}  // namespace gapo

#include "cpu/end_target.h"
#endif
