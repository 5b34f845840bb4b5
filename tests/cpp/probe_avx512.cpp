// The target is set as in csrc/cpu/isa_avx512.cpp.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"
#include "probe.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi,bmi2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif

#define GAPO_VECTOR_BYTES 64
#include "probe_kernels.h"

extern const Probe kProbe_avx512;
constexpr Probe kProbe_avx512 = gapo::make_probe();

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
