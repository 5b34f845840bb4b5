// The kernels for x86-64 CPUs with AVX-512 (x86-64-v4).
//
// What comes from outside is included before the target is set, so that none of it is compiled for that target.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi,bmi2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif

#define GAPO_VECTOR_BYTES 64
#include "cpu/kernels.h"

namespace gapo {
extern const Backend kBackend_avx512;
constexpr Backend kBackend_avx512 = make_backend("avx512");
}  // namespace gapo

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
