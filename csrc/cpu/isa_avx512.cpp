// The kernels for x86-64 CPUs with AVX-512 (x86-64-v4).
//
// What comes from outside is included before the target is set, so that none of it is compiled for that target.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"

#if defined(__x86_64__)
#include "cpu/begin_avx512.h"
#include "cpu/kernels.h"

namespace gapo {
extern const Backend kBackend_avx512;
constexpr Backend kBackend_avx512 = make_backend("avx512");
}  // namespace gapo

#include "cpu/end_target.h"
#endif
