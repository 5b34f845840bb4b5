// The target is set as in csrc/cpu/isa_avx2.cpp.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"
#include "probe.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif

#define GAPO_VECTOR_BYTES 32
#include "probe_kernels.h"

extern const Probe kProbe_avx2;
constexpr Probe kProbe_avx2 = gapo::make_probe();

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
